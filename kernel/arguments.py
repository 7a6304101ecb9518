"""The option line of `%%distributed` and `%%rank`, read into a record.

Owns the options' names, their splitting and their checks. Never evaluates anything: `--over`'s expression is
kept as text. Every complaint is one line, a UsageError. Read next: `launch.py`.
"""

import difflib
import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from IPython.core.error import UsageError

MOST_WORKERS = 100_000

_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What the first line of a distributed cell asks for."""

    over: str = ""
    item_name: str = ""
    out: str = ""
    background: bool = False
    gpus: int | None = None
    size: int | None = None
    workers: tuple[int, ...] | None = None
    timeout: float | None = None
    local: bool = False
    push: tuple[str, ...] = ()
    setup: bool = False
    actor: str = ""
    reload: bool = False


def parse(line: str, magic: str = "%%distributed") -> CellOptions:
    """Read the rest of the magic's line.

    >>> parse("--over range(3) --as x --out ys").over
    'range(3)'
    >>> parse("[0,2-3] --background", "%%rank").workers
    (0, 2, 3)
    """
    tokens = split(line, magic)
    found: dict[str, Any] = {}
    if magic == "%%rank":
        spec, tokens = _leading(tokens)
        if not spec:
            raise UsageError(f"{magic}: say which workers, for example {magic} [0,2-3]")
        found["workers"] = parse_spec(spec, magic)
    while tokens:
        option, equals, attached = tokens.pop(0).partition("=")
        if option in _LATER:
            raise UsageError(f"{magic}: {option} is not in this version yet")
        if option in _FLAGS:
            if equals:
                raise UsageError(f"{magic}: {option} takes no value")
            name, value = _FLAGS[option], True
        elif option in _VALUES:
            name, many, convert = _VALUES[option]
            text = attached if equals else _take(tokens, many)
            if not text:
                raise UsageError(f"{magic}: {option} needs a value")
            value = convert(text, f"{magic} {option}")
        else:
            raise UsageError(_unknown(option, magic))
        if name in found:
            what = "the workers are" if name == "workers" else f"{option} is"
            raise UsageError(f"{magic}: {what} given twice")
        found[name] = value
    options = CellOptions(**found)
    _agree(options, magic)
    return options


def split(line: str, magic: str = "%%distributed") -> list[str]:
    """Words at blanks outside quotes and brackets; quotes around a whole word are taken off.

    >>> split('--over [1, 2] --as "x"')
    ['--over', '[1, 2]', '--as', 'x']
    """
    words: list[str] = []
    word, quote, open_brackets = "", "", ""
    escaped = False
    for char in line:
        if quote:
            word += char
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == quote:
                quote = ""
            continue
        if char.isspace() and not open_brackets:
            if word:
                words.append(_unquote(word))
            word = ""
            continue
        word += char
        if char in "'\"":
            quote = char
        elif char in _CLOSING:
            open_brackets += _CLOSING[char]
        elif open_brackets and char == open_brackets[-1]:
            open_brackets = open_brackets[:-1]
    if quote:
        raise UsageError(f"{magic}: a quote {quote} is not closed")
    if open_brackets:
        raise UsageError(f"{magic}: a bracket is not closed; {open_brackets[-1]} is missing")
    if word:
        words.append(_unquote(word))
    return words


def parse_spec(text: str, where: str = "--workers") -> tuple[int, ...]:
    """Workers as people write them, sorted and without repetition.

    >>> parse_spec("[0, 2-3]")
    (0, 2, 3)
    """
    bare = text.strip()
    if bare.startswith("[") and bare.endswith("]"):
        bare = bare[1:-1]
    chosen: set[int] = set()
    for part in bare.split(","):
        match = re.fullmatch(r"\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?", part)
        if match is None:
            raise UsageError(f"{where}: {text!r} is not a list of workers; write it like 0,2-3")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise UsageError(f"{where}: {part.strip()} runs backwards; write {last}-{first}")
        if last >= MOST_WORKERS:
            raise UsageError(f"{where}: there is no worker {last}")
        chosen.update(range(first, last + 1))
    return tuple(sorted(chosen))


def show_spec(workers: tuple[int, ...]) -> str:
    """Workers as people read them.

    >>> show_spec((0, 2, 3, 4))
    '0,2-4'
    """
    runs: list[list[int]] = []
    for worker in workers:
        if runs and worker == runs[-1][1] + 1:
            runs[-1][1] = worker
        else:
            runs.append([worker, worker])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def near(word: str, known: list[str]) -> str:
    """`; did you mean …?`, or what there is."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.65)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _unquote(word: str) -> str:
    quote = word[0]
    if quote in "'\"" and len(word) > 1 and word.endswith(quote) and word.count(quote) == 2:
        return word[1:-1]
    return word


def _is_option(token: str) -> bool:
    return (
        token.partition("=")[0] in {*_FLAGS, *_VALUES, *_LATER} or re.match(r"--[A-Za-z]", token) is not None
    )


def _leading(tokens: list[str]) -> tuple[str, list[str]]:
    spec: list[str] = []
    while tokens and not _is_option(tokens[0]):
        spec.append(tokens.pop(0))
    return " ".join(spec), tokens


def _take(tokens: list[str], many: bool) -> str:
    """One value: a word, or for expressions and lists all words up to the next option."""
    if many:
        return _leading(tokens)[0]
    return tokens.pop(0) if tokens and not _is_option(tokens[0]) else ""


def _unknown(option: str, magic: str) -> str:
    if option.startswith("-"):
        return f"{magic}: there is no option {option}{near(option, [*_VALUES, *_FLAGS])}"
    return f"{magic}: {option!r} is not an option; options begin with -- (see {magic}? for all)"


def _agree(options: CellOptions, magic: str) -> None:
    if options.actor:
        others = {
            "--over": options.over,
            "--workers": options.workers is not None,
            "-n": options.size is not None,
            "--gpus": options.gpus is not None,
            "--local": options.local,
            "--setup": options.setup,
        }
        if magic == "%%rank":
            raise UsageError(f"{magic}: a cell in an actor is %%distributed --actor {options.actor}")
        for option, given in others.items():
            if given:
                raise UsageError(f"{magic}: {option} is for mesh workers, not with --actor")
    if options.over and not options.item_name:
        raise UsageError(f"{magic}: --over needs --as NAME: the name that each element gets in the cell")
    if options.reload and not options.actor:
        raise UsageError(f"{magic}: --reload needs --actor NAME: the actor that gets the class of this cell")
    if options.item_name and not options.over:
        raise UsageError(f"{magic}: --as needs --over EXPR: what to go over")
    for given, name in ((options.local, "--local"), (options.setup, "--setup")):
        if options.over and given:
            raise UsageError(f"{magic}: {name} is for cells that run once per worker, not with --over")


def _text(text: str, where: str) -> str:
    return text


def _name(text: str, where: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise UsageError(f"{where}: {text!r} is not a name")
    return text


def _names(text: str, where: str) -> tuple[str, ...]:
    return tuple(_name(part, where) for part in text.replace(",", " ").split())


def _count(text: str, where: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise UsageError(f"{where}: {text!r} is not a whole number")
    return int(text)


def _size(text: str, where: str) -> int:
    size = _count(text, where)
    if size == 0:
        raise UsageError(f"{where}: a mesh needs at least one worker (%mesh stop ends them all)")
    return size


def _seconds(text: str, where: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{where}: {text!r} is not a number of seconds above 0")
    return seconds


_FLAGS = {"--background": "background", "--local": "local", "--setup": "setup", "--reload": "reload"}
_VALUES: dict[str, tuple[str, bool, Callable[[str, str], Any]]] = {
    "--over": ("over", True, _text),
    "--as": ("item_name", False, _name),
    "--out": ("out", False, _name),
    "--gpus": ("gpus", False, _count),
    "--workers": ("workers", True, parse_spec),
    "--timeout": ("timeout", False, _seconds),
    "--push": ("push", True, _names),
    "--actor": ("actor", False, _text),
    "-n": ("size", False, _size),
}
_LATER = ("--spmd",)
