"""What a cell shows of a task's text: bounded, honest, and complete when it is short."""

from __future__ import annotations

import re

from hypothesis import given, strategies as st

from cellmesh.scheduler.worker.displays import Displays
from cellmesh.scheduler.worker.excerpt import Excerpt, Limits, Piece, Stream

_LIMITS = Limits(burst=5, rate=10, resume=3, lines=12, size=400, width=30, tail=2)

_texts = st.text(alphabet="ab\n", max_size=60)
_writes = st.lists(
    st.tuples(st.sampled_from(["stdout", "stderr"]), _texts, st.floats(min_value=0, max_value=2)),
    max_size=40,
)


def _hidden(pieces: list[Piece]) -> int:
    found = (re.match(r"… ([\d,]+) lines? not shown", text) for kind, text in pieces if kind == "note")
    return sum(int(match[1].replace(",", "")) for match in found if match)


def _run(writes: list[tuple[Stream, str, float]], limits: Limits) -> list[Piece]:
    excerpt, now, pieces = Excerpt("%mesh logs", limits), 0.0, []
    for stream, text, pause in writes:
        now += pause
        pieces += excerpt.take(stream, text, now)
    return pieces + excerpt.finish()


def _lines(text: str) -> int:
    return text.count("\n") + (not text.endswith("\n") and text != "")


@given(_writes)
def test_every_line_is_shown_or_counted(writes: list[tuple[Stream, str, float]]) -> None:
    pieces = _run(writes, _LIMITS)
    printed = shown = 0
    for stream in ("stdout", "stderr"):
        printed += _lines("".join(text for kind, text, _ in writes if kind == stream))
        shown += _lines("".join(text for kind, text in pieces if kind == stream))
    assert shown + _hidden(pieces) == printed


@given(_writes)
def test_what_is_shown_is_bounded(writes: list[tuple[Stream, str, float]]) -> None:
    pieces = _run(writes, _LIMITS)
    lines = sum(text.count("\n") for kind, text in pieces if kind != "note")
    assert lines <= _LIMITS.lines + 2 * _LIMITS.tail
    for kind, text in pieces:
        if kind != "note":
            assert max(map(len, text.splitlines()), default=0) <= _LIMITS.width + 40


@given(_writes)
def test_what_is_short_is_shown_as_it_is(writes: list[tuple[Stream, str, float]]) -> None:
    generous = Limits(burst=10_000, lines=10_000)
    pieces = _run(writes, generous)
    for stream in ("stdout", "stderr"):
        printed = "".join(text for kind, text, _ in writes if kind == stream)
        assert "".join(text for kind, text in pieces if kind == stream) == printed


@given(st.lists(st.integers(min_value=1, max_value=9), max_size=30))
def test_how_text_is_cut_into_writes_does_not_matter(cuts: list[int]) -> None:
    text = "".join(f"line {i}\n" for i in range(40))
    writes: list[tuple[Stream, str, float]] = []
    rest = text
    for cut in cuts:
        writes.append(("stdout", rest[:cut], 0.0))
        rest = rest[cut:]
    writes.append(("stdout", rest, 0.0))
    shown = [
        "".join(t for k, t in _run(w, _LIMITS) if k == "stdout") for w in (writes, [("stdout", text, 0.0)])
    ]
    assert shown[0] == shown[1]


def test_ten_million_lines() -> None:
    excerpt = Excerpt("%mesh logs --worker 1")
    pieces = excerpt.take("stdout", "".join(f"{i}\n" for i in range(10_000)), 0.0)
    for _ in range(999):
        pieces += excerpt.take("stdout", "x\n" * 10_000, 0.0)
    pieces += excerpt.finish()
    assert [kind for kind, _ in pieces] == ["stdout", "note", "stdout"]
    assert pieces[1][1] == "… 9,999,780 lines not shown; %mesh logs --worker 1 has them …"
    assert pieces[2][1] == "x\n" * 20


def test_a_stream_that_calms_down_is_shown_again() -> None:
    excerpt = Excerpt("", Limits(burst=2, resume=2))
    assert excerpt.take("stdout", "a\nb\nc\n", 0.0) == [("stdout", "a\nb\n")]
    assert excerpt.quiet("stdout")
    assert excerpt.take("stdout", "d\n", 1.0) == [("note", "… 1 line not shown …"), ("stdout", "d\n")]
    assert not excerpt.quiet("stdout")


def test_a_long_line_is_cut_and_says_so() -> None:
    excerpt = Excerpt()
    first = excerpt.take("stdout", "x" * 1500, 0.0)
    second = excerpt.take("stdout", "x" * 1500 + "\nnext\n", 0.0)
    assert first == [("stdout", "x" * 1500)]
    assert second == [("stdout", "x" * 500 + " … (1,000 more characters)\nnext\n")]


def test_a_progress_bar_lives_and_ends_at_its_end() -> None:
    excerpt = Excerpt()
    pieces: list[Piece] = []
    for i in range(100_001):
        pieces += excerpt.take("stderr", f"\r{i}", i / 1000)
    pieces += excerpt.take("stderr", "\n", 101.0)
    pieces += excerpt.finish()
    assert 900 < len(pieces) < 1100
    assert pieces[-1] == ("stderr", "\r100000\n") or pieces[-2:] == [("stderr", "\r100000"), ("stderr", "\n")]


def test_displays_are_bounded_and_counted() -> None:
    displays: Displays[str] = Displays()
    shown = [i for n in range(60) for i in displays.take("display", f"d{n}", 0.0)]
    assert shown == [f"d{n}" for n in range(50)]
    assert displays.finish() == ([], 10)


def test_a_live_picture_keeps_its_last_frame() -> None:
    displays: Displays[str] = Displays()
    shown = []
    for n in range(200):
        shown += displays.take("clear", f"c{n}", 0.0)
        shown += displays.take("display", f"d{n}", 0.0)
    assert shown == [f"{kind}{n}" for n in range(50) for kind in "cd"]
    assert displays.finish() == (["c199", "d199"], 0)


def test_the_last_update_of_each_display_is_shown() -> None:
    displays: Displays[str] = Displays()
    for n in range(200):
        displays.take("update", f"a{n}", 0.0, "a")
    displays.take("update", "b0", 0.0, "b")
    assert displays.finish() == (["a199", "b0"], 0)
