"""The option line: what is taken, and the one line that is said about anything else."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st
from IPython.core.error import UsageError

from cellmesh.kernel.arguments import CellOptions, parse, parse_spec, show_spec, split
from cellmesh.kernel.transform import spread_rank


def complaint(line: str, magic: str = "%%distributed") -> str:
    with pytest.raises(UsageError) as info:
        parse(line, magic)
    text = str(info.value)
    assert "\n" not in text
    return text


def outcome(read: Callable[[str], Any], text: str) -> tuple[str, Any]:
    """What is said, or what comes back."""
    try:
        return "", read(text)
    except UsageError as error:
        return str(error), None


def test_nothing_is_fine() -> None:
    assert parse("") == CellOptions()


def test_all_options() -> None:
    line = "--background --out ys --gpus 2 --workers 0,2-3 --timeout 1.5 --local --push a,b --setup -n 4"
    assert parse(line) == CellOptions(
        out="ys",
        background=True,
        gpus=2,
        size=4,
        workers=(0, 2, 3),
        timeout=1.5,
        local=True,
        push=("a", "b"),
        setup=True,
    )


@pytest.mark.parametrize(
    "expression",
    [
        "xs",
        "range(100)",
        "xs[:5]",
        "[1, 2, 3]",
        "{'a b': 1}['a b']",
        "(x for x in xs)",
        "xs + ys",
        "f(')', \"(\")",
    ],
)
def test_over_takes_an_expression(expression: str) -> None:
    assert parse(f"--over {expression} --as x --out ys") == CellOptions(
        over=expression, item_name="x", out="ys"
    )
    assert parse(f"--as x --over {expression}").over == expression


def test_quotes_around_a_word_come_off() -> None:
    assert parse('--over "xs + ys" --as x').over == "xs + ys"
    assert parse("--over 'a'+'b' --as x").over == "'a'+'b'"


def test_equals_sign_works() -> None:
    assert parse("--out=ys --workers=0-1") == CellOptions(out="ys", workers=(0, 1))


def test_lists_may_have_blanks() -> None:
    assert parse("--push a, b c --workers [0, 2]") == CellOptions(push=("a", "b", "c"), workers=(0, 2))


@pytest.mark.parametrize("line", ["[0,2-3] --out y", "0,2-3 --out y", "[0, 2-3] --out y"])
def test_rank_names_its_workers(line: str) -> None:
    assert parse(line, "%%rank") == CellOptions(workers=(0, 2, 3), out="y")


def test_rank_without_workers() -> None:
    assert complaint("--out y", "%%rank") == "%%rank: say which workers, for example %%rank [0,2-3]"


def test_rank_with_workers_twice() -> None:
    assert complaint("[0] --workers 1", "%%rank") == "%%rank: the workers are given twice"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--bakground", "%%distributed: there is no option --bakground; did you mean --background?"),
        ("--actor", "%%distributed: --actor needs a value"),
        ("--spmd -n 4", "%%distributed: --spmd is not in this version yet"),
        ("-n 0", "%%distributed -n: a mesh needs at least one worker (%mesh stop ends them all)"),
        ("-n two", "%%distributed -n: 'two' is not a whole number"),
        ("--out", "%%distributed: --out needs a value"),
        ("--out --local", "%%distributed: --out needs a value"),
        ("--out 3x", "%%distributed --out: '3x' is not a name"),
        ("--out for", "%%distributed --out: 'for' is not a name"),
        ("--out a --out b", "%%distributed: --out is given twice"),
        ("--local=yes", "%%distributed: --local takes no value"),
        ("--timeout -1", "%%distributed --timeout: '-1' is not a number of seconds above 0"),
        ("--timeout nan", "%%distributed --timeout: 'nan' is not a number of seconds above 0"),
        ("--workers 3-1", "%%distributed --workers: 3-1 runs backwards; write 1-3"),
        ("--workers 0-999999999", "%%distributed --workers: there is no worker 999999999"),
        ("--workers a", "%%distributed --workers: 'a' is not a list of workers; write it like 0,2-3"),
        ("--over xs", "%%distributed: --over needs --as NAME: the name that each element gets in the cell"),
        ("--as x", "%%distributed: --as needs --over EXPR: what to go over"),
        (
            "--over xs --as x --local",
            "%%distributed: --local is for cells that run once per worker, not with --over",
        ),
        ("--over 'xs --as x", "%%distributed: a quote ' is not closed"),
        ("--over f(xs --as x", "%%distributed: a bracket is not closed; ) is missing"),
        ("foo", "%%distributed: 'foo' is not an option; options begin with -- (see %%distributed? for all)"),
    ],
)
def test_complaints(line: str, said: str) -> None:
    assert complaint(line) == said


@given(st.sets(st.integers(0, 300), min_size=1))
def test_specs_come_back_as_they_were(workers: set[int]) -> None:
    ordered = tuple(sorted(workers))
    assert parse_spec(show_spec(ordered)) == ordered
    assert parse_spec(f"[{show_spec(ordered)}]") == ordered


@given(st.text(alphabet="0123456789,- []a", max_size=12))
def test_specs_never_break(text: str) -> None:
    said, workers = outcome(parse_spec, text)
    assert "\n" not in said
    assert workers is None or (workers and workers == tuple(sorted(set(workers))))


@given(st.text(max_size=40))
def test_any_line_is_taken_or_complained_about(line: str) -> None:
    for read in (parse, split):
        said, _ = outcome(read, line)
        assert not said or said.startswith("%%distributed")


def test_rank_without_a_space() -> None:
    assert spread_rank(["%%rank[0]\n", "%%rank[1]\n"]) == ["%%rank [0]\n", "%%rank[1]\n"]
    assert spread_rank(["%%rank [0]\n"]) == ["%%rank [0]\n"]
    assert spread_rank(["x = 1\n"]) == ["x = 1\n"]
    assert spread_rank([]) == []
