"""The journal, on a disk that tears records, refuses them, and takes them again."""

from __future__ import annotations

import os
from pathlib import Path

from cellmesh.scheduler.hub.journal import Entry, Journal

FIRST, SECOND = Entry("timer", 1.0, 1.0, "a"), Entry("timer", 2.0, 2.0, "b")


def test_what_is_written_after_a_torn_record_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.add(FIRST)
    journal.flush()
    whole = journal.path.read_bytes()
    journal.close()
    for torn in range(1, len(whole)):
        journal.path.write_bytes(whole + whole[:torn])
        again = Journal(journal.path)
        assert list(again.read()) == [FIRST]
        again.add(SECOND)
        again.flush()
        assert list(again.read()) == [FIRST, SECOND]
        again.close()


def test_a_rewrite_that_fails_at_its_last_step_leaves_a_journal_that_takes_more(tmp_path: Path) -> None:
    journal, kept = Journal(tmp_path / "journal"), tmp_path / "kept"
    journal.add(FIRST)
    journal.flush()
    os.link(journal.path, kept)
    journal.path.unlink()
    journal.path.mkdir()  # nothing can take its place
    assert not journal.rewrite(Entry("state", 1.0, 1.0, "compacted"))
    journal.add(SECOND)
    journal.flush()
    journal.close()
    assert journal.failure == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal", "kept"]
    again = Journal(kept)
    assert list(again.read()) == [FIRST, SECOND]
    again.close()


def test_what_comes_after_a_rewrite_is_read(tmp_path: Path) -> None:
    journal, state = Journal(tmp_path / "journal"), Entry("state", 1.0, 1.0, "compacted")
    journal.add(FIRST)
    journal.flush()
    assert journal.rewrite(state)
    journal.add(SECOND)
    journal.flush()
    assert list(journal.read()) == [state, SECOND]
    assert journal.size == journal.path.stat().st_size
    journal.close()
