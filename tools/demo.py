"""Run a notebook headless and print what its cells print, as they finish: `make demo`.

Owns the rendering of a notebook as text. Never changes the notebook file.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def text_of(output: dict[str, Any]) -> str:
    """An output as a terminal shows it."""
    if output["output_type"] == "stream":
        return str(output["text"])
    if output["output_type"] == "error":
        return "\n".join(output["traceback"]) + "\n"
    data = output.get("data", {})
    return str(data.get("text/plain", f"[{', '.join(data)}]")) + "\n"


def show(text: str, mark: str) -> None:
    """Print a block with a mark before each line."""
    for line in text.rstrip("\n").split("\n"):
        print(f"{mark}{line}", flush=True)


def on_cell_start(cell: dict[str, Any], cell_index: int) -> None:
    """Show the cell before it runs, so that a slow one is seen to be at work."""
    if cell["source"].strip():
        print()
        show(cell["source"], "    " if cell["cell_type"] == "code" else "")


def on_cell_executed(cell: dict[str, Any], cell_index: int, execute_reply: dict[str, Any]) -> None:
    """Show what the cell brought."""
    for output in cell.get("outputs", []):
        show(text_of(output), "  | ")


def main(path: Path) -> int:
    """Run the notebook; 0 if every cell passed."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=on_cell_start,
        on_cell_executed=on_cell_executed,
    )
    try:
        asyncio.run(client.async_execute())
    except CellExecutionError as error:
        print(f"\n{path} failed: {error.ename}: {error.evalue}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/demo.py NOTEBOOK")
    sys.exit(main(Path(sys.argv[1])))
