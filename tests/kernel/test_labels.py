"""Labelled lines and merged output, as pure functions."""

from cellmesh.kernel.cells import Cell
from cellmesh.kernel.labels import Lines, label_of
from cellmesh.kernel.panes import Entry, Pane, merged


def text(worker: int | None, words: str, kind: str = "stdout") -> Entry:
    return Entry((1, worker), (worker,), kind, words, size=len(words))


def end(worker: int | None) -> Entry:
    return Entry((1, worker), (worker,), "end")


class Screen:
    """A publisher that remembers: what a front end would show, clear_output included."""

    def __init__(self) -> None:
        self.text = ""
        self.displays: list[tuple[str, bool]] = []
        self.clears: list[bool] = []

    def stream(self, cell: Cell | None, name: str, text: str) -> None:
        self.text += text

    def display(self, cell, data, metadata, transient, *, update=False) -> None:  # type: ignore[no-untyped-def]
        self.displays.append((data.get("text/plain", ""), update))
        self.text += "<display>\n" if not update else ""

    def clear(self, cell: Cell | None, wait: bool) -> None:
        self.clears.append(wait)
        self.text = ""


def test_every_line_is_labelled_once() -> None:
    lines = Lines()
    assert lines.feed(0, "[0] ", "one\ntw") == "[0] one\n[0] tw"
    assert lines.feed(0, "[0] ", "o\nthree\n") == "o\n[0] three\n"


def test_unfinished_lines_of_two_workers_are_not_mixed() -> None:
    lines = Lines()
    out = lines.feed(0, "[0] ", "begin ")
    out += lines.feed(1, "[1] ", "other ")  # waits: only one unfinished line is on screen
    out += lines.feed(0, "[0] ", "end\n")
    out += lines.feed(1, "[1] ", "line\n")
    assert out == "[0] begin end\n[1] other line\n"


def test_a_whole_line_between_moves_the_unfinished_one_below() -> None:
    lines = Lines()
    out = lines.feed(0, "[0] ", "\r 10%") + lines.feed(1, "[1] ", "hi\n")
    assert out == "\r[0]  10%\r[1] hi  \n[0]  10%"


def test_progress_bars_keep_their_label_through_carriage_returns() -> None:
    lines = Lines()
    out = lines.feed(0, "[0] ", "\r10%") + lines.feed(0, "[0] ", "\r20%")
    assert out.split("\r")[-1] == "[0] 20%"
    assert lines.end(0, "[0] ") == "\n"


def test_nothing_is_labelled_without_a_number() -> None:
    assert label_of([None]) == ""
    assert Lines().feed("t", "", "plain\n") == "plain\n"


def test_equal_text_of_several_workers_is_shown_once() -> None:
    screen = Screen()
    Pane(None, screen).show([text(0, "hello\n"), text(1, "hel"), text(2, "bye\n"), text(1, "lo\n")])
    assert screen.text == "[0,1] hello\n[2] bye\n"


def test_a_last_line_without_newline_merges_when_the_tasks_are_over() -> None:
    screen = Screen()
    Pane(None, screen).show([text(0, "x"), end(0), text(1, "x"), end(1)])
    assert screen.text == "[0,1] x\n"


def test_a_worker_in_the_middle_of_a_line_is_not_merged() -> None:
    screen = Screen()
    pane = Pane(None, screen)
    pane.show([text(0, "a ")])
    pane.show([text(0, "b\n"), text(1, "b\n")])
    assert screen.text == "[0] a b\n[1] b\n"


def test_clear_output_clears_only_its_workers_lines() -> None:
    screen = Screen()
    pane = Pane(None, screen)
    pane.show([text(0, "zero\n"), text(1, "one\n")])
    pane.show([Entry((1, 0), (0,), "clear")])
    assert screen.text == "[1] one\n"
    pane.show([Entry((1, 1), (1,), "clear", "wait")])
    assert screen.text == "[1] one\n"  # until it shows something new
    pane.show([text(1, "new\n")])
    assert screen.text == "[1] new\n"


def test_what_was_cleared_within_a_burst_is_never_shown() -> None:
    screen = Screen()
    Pane(None, screen).show([text(0, "old\n"), Entry((1, 0), (0,), "clear"), text(0, "new\n")])
    assert screen.text == "[0] new\n"


def test_an_updated_display_is_shown_again_as_updated() -> None:
    screen = Screen()
    pane = Pane(None, screen)

    def shown(words: str, kind: str) -> Entry:
        bundle = {"data": {"text/plain": words, "text/html": "x"}, "transient": {"display_id": "a"}}
        return Entry((1, 0), (0,), kind, "", bundle)

    pane.show([shown("first", "display"), shown("second", "update"), text(1, "one\n")])
    pane.show([Entry((1, 1), (1,), "clear")])
    assert screen.displays == [("first", False), ("second", True), ("second", False)]


def test_results_are_lines_and_equal_ones_are_merged() -> None:
    screen = Screen()
    result = {"data": {"text/plain": "42"}}
    entries = [Entry((1, n), (n,), "result", "", result) for n in (0, 1)]
    Pane(None, screen).show(entries)
    assert screen.text == "[0,1] Out: 42\n"


def test_task_workers_are_never_merged() -> None:
    entries = [text(None, "a\n"), text(None, "a\n")]
    assert merged(entries)[0].text == "a\na\n"
