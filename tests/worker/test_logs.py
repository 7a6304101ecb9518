"""The log keeps everything, drops the oldest, and survives what breaks it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cellmesh.scheduler.objects.logbook import read_logs
from cellmesh.scheduler.worker.logs import LogWriter


def _texts(folder: Path, **query: object) -> list[str]:
    return [record.text for record in read_logs(folder, **query)]  # type: ignore[arg-type]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "new" / "folder", "w1")
    log.write(1, 0, "stdout", "a\n")
    log.write(2, 3, "stderr", "b\n")
    log.write(None, None, "stdout", "outside\n")
    log.close()
    records = list(read_logs(tmp_path / "new" / "folder"))
    assert [(r.worker, r.job, r.task, r.stream, r.text) for r in records] == [
        ("w1", 1, 0, "stdout", "a\n"),
        ("w1", 2, 3, "stderr", "b\n"),
        ("w1", None, None, "stdout", "outside\n"),
    ]
    assert _texts(tmp_path / "new" / "folder", job=2) == ["b\n"]


def test_workers_are_told_apart_and_merged_by_time(tmp_path: Path) -> None:
    one, two = LogWriter(tmp_path, "w1"), LogWriter(tmp_path, "w2")
    for text in ("a\n", "c\n"):
        one.write(1, 0, "stdout", text)
        two.write(1, 0, "stdout", text.upper())
    one.close()
    two.close()
    assert _texts(tmp_path) == ["a\n", "A\n", "c\n", "C\n"]
    assert _texts(tmp_path, worker=2) == ["A\n", "C\n"]
    assert _texts(tmp_path, worker="w1") == ["a\n", "c\n"]


@pytest.mark.parametrize("tail", [0, 1, 3, 100])
def test_the_tail_is_the_last_lines(tmp_path: Path, tail: int) -> None:
    log = LogWriter(tmp_path, "w1", segment=100)
    lines = [f"line {i}\n" for i in range(50)]
    for first in range(0, 50, 5):
        log.write(1, 0, "stdout", "".join(lines[first : first + 5]))
        log.flush()
    log.close()
    assert "".join(_texts(tmp_path, tail=tail)) == "".join(lines[-tail:] if tail else [])


def test_a_torn_last_record_is_left_out(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, "w1")
    log.write(1, 0, "stdout", "whole\n")
    log.write(1, 0, "stdout", "torn\n")
    log.close()
    (path,) = tmp_path.glob("*.log")
    for cut in range(1, 20):
        os.truncate(path, path.stat().st_size - 1)
        assert _texts(tmp_path) == ["whole\n"], cut


def test_beyond_the_cap_the_oldest_go_and_a_record_says_so(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, "w1", cap=5000, segment=1000)
    for i in range(40):
        log.write(1, 0, "stdout", f"{i:04} {'x' * 400}\n")
        log.flush()
    log.close()
    assert sum(path.stat().st_size for path in tmp_path.glob("*.log")) < 7000
    texts = _texts(tmp_path)
    assert texts[-1].startswith("0039")
    assert not any(text.startswith("0000") for text in texts)
    assert any("older logs were dropped" in text for text in texts)


def test_a_replaced_worker_goes_on_in_new_files(tmp_path: Path) -> None:
    for text in ("first\n", "second\n"):
        log = LogWriter(tmp_path, "w1")
        log.write(1, 0, "stdout", text)
        log.close()
    assert _texts(tmp_path, worker=1) == ["first\n", "second\n"]


def test_a_log_that_cannot_be_written_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = LogWriter(tmp_path / "file", "w1")
    log.write(1, 0, "stdout", "a\n")
    log.flush()
    log.write(1, 0, "stdout", "b\n")
    log.close()
    assert "log stopped" in log.trouble


def test_text_that_is_no_unicode_is_kept(tmp_path: Path) -> None:
    log = LogWriter(tmp_path, "w1")
    log.write(1, 0, "stdout", "caf\udce9\n")
    log.close()
    assert _texts(tmp_path) == ["caf\\udce9\n"]
