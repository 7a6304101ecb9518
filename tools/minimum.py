"""Lower bounds of pyproject.toml as exact pins: the minimum-versions lane of `make test-min`.

    python tools/minimum.py --check        constraints/minimum.txt pins exactly the declared bounds
    python tools/minimum.py --write        write it anew
    python tools/minimum.py --installed    this environment really has those versions

Owns `constraints/minimum.txt`. Never resolves anything: pip does.
"""

import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "constraints" / "minimum.txt"
HEAD = "# Generated from the lower bounds in pyproject.toml by: python tools/minimum.py --write\n"


def bounds() -> dict[str, str]:
    """Every runtime dependency and its lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = {}
    for requirement in project["dependencies"]:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", requirement)
        if match is None:
            sys.exit(f"{requirement!r} in pyproject.toml has no plain lower bound (name>=version).")
        found[match[1]] = match[2]
    return found


def pins() -> str:
    """The text of the constraints file."""
    return HEAD + "".join(f"{name}=={bound}\n" for name, bound in bounds().items())


def main(mode: str) -> int:
    """Do one of the three things of the module's docstring."""
    if mode == "--write":
        PINS.write_text(pins())
    elif mode == "--check":
        if PINS.read_text() != pins():
            print(f"{PINS} is out of date. Run: python tools/minimum.py --write")
            return 1
    elif mode == "--installed":
        wrong = {}
        for name, bound in bounds().items():
            installed = version(name)
            print(f"{name} {installed}")
            if [*installed.split("."), "0", "0"][:3] != [*bound.split("."), "0", "0"][:3]:
                wrong[name] = bound
        for name, bound in wrong.items():
            print(f"{name} should be {bound} here.")
        return int(bool(wrong))
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else ""))
