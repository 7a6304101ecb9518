"""`python -m cellmesh`: the commands for a terminal.

Owns the command line. Never does the work: see `../kernel/doctor.py`.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from cellmesh.kernel import doctor


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; without one, show the help."""
    try:
        number = version("cellmesh")
    except PackageNotFoundError:
        number = "(not installed: running from a checkout)"
    parser = argparse.ArgumentParser(
        prog="python -m cellmesh",
        description=f"cellmesh {number}: one notebook that drives every core and GPU it can reach. "
        "In a notebook: %load_ext cellmesh",
    )
    parser.add_argument("--version", action="version", version=f"cellmesh {number}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    examine = commands.add_parser("doctor", help="check this machine and say what to do")
    examine.add_argument("--clean", action="store_true", help="also remove what dead hubs left behind")
    options = parser.parse_args(arguments)
    if options.command == "doctor":
        return doctor.main(clean=options.clean)
    parser.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
