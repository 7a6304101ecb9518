"""Items 3 and 4 through a real server: floods, figures, live updates, edited modules, cwd and environment."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.server import Notebook, Server

LOAD = "%load_ext cellmesh\nimport cellmesh as cm"


@pytest.fixture
def book(server: Server) -> Notebook:
    book = server.notebook()
    book.run(LOAD)
    return book


def shown(book: Notebook, code: str) -> list[dict[str, Any]]:
    """Every message that the cell's output area gets."""
    messages: list[dict[str, Any]] = []
    book.client.execute_interactive(code, output_hook=messages.append, timeout=120)
    return messages


def test_a_flood_is_a_bounded_honest_excerpt_and_the_log_has_the_rest(book: Notebook) -> None:
    messages = shown(book, "%%distributed --workers 0\nfor i in range(3_000_000): print('line', i)")
    text = "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")
    lines = text.splitlines()
    assert len(messages) < 500
    assert len(lines) < 2100
    assert "[0] line 0" in lines
    assert "[0] line 2999999" in lines[-3:]
    withheld = sum(
        int(count.replace(",", ""))
        for line in lines
        for count in re.findall(r"([\d,]+) lines? not shown", line)
    )
    kept = sum(1 for line in lines if line.startswith("[0] line "))
    assert withheld + kept == 3_000_000
    assert "line 1234567" in book.run("%mesh logs --worker 0 --tail 1800000", timeout=120)


def test_figures_updates_and_clearing(book: Notebook) -> None:
    messages = shown(
        book,
        "%%distributed\n%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);",
    )
    images = [m for m in messages if "image/png" in m["content"].get("data", {})]
    assert len(images) == 2
    messages = shown(
        book,
        "%%distributed --workers 0\n"
        "from IPython.display import display, clear_output\n"
        "h = display('first', display_id=True); h.update('second')\n"
        "print('gone'); clear_output(wait=True); print('kept')",
    )
    kinds = [m["msg_type"] for m in messages]
    display = messages[kinds.index("display_data")]["content"]
    update = messages[kinds.index("update_display_data")]["content"]
    assert display["transient"]["display_id"] == update["transient"]["display_id"]
    assert "second" in update["data"]["text/plain"]
    assert "clear_output" in kinds
    after = "".join(
        m["content"]["text"]
        for m in messages[len(kinds) - kinds[::-1].index("clear_output") :]
        if m["msg_type"] == "stream"
    )
    assert "kept" in after
    assert "gone" not in after


def test_workers_follow_the_kernels_surroundings_and_edited_modules(server: Server, book: Notebook) -> None:
    (server.root / "mine.py").write_text("def answer():\n    return 41\n")
    book.run("import mine")
    assert "41" in book.run("%%distributed\nprint(mine.answer())")
    assert "[41]" in book.run("print(cm.map(lambda _: mine.answer(), [0]).result())")
    (server.root / "mine.py").write_text("def answer():\n    return 42\n")
    assert "42" in book.run("%%distributed\nprint(mine.answer())")
    assert "[42]" in book.run("print(cm.map(lambda _: mine.answer(), [0]).result())")
    book.run(
        "import os, sys\nos.makedirs('below', exist_ok=True); os.chdir('below')\n"
        "os.environ['COLOUR'] = 'green'; sys.path.insert(0, '/somewhere')"
    )
    seen = book.run(
        "%%distributed\nimport os, sys\n"
        "print(os.getcwd().endswith('below'), os.environ['COLOUR'], sys.path[0])"
    )
    assert "True green /somewhere" in seen


def test_setup_cells_run_again_on_a_replaced_worker(book: Notebook) -> None:
    book.run("%%distributed --setup\nmodel = 'loaded'")
    book.run("%%distributed\nextra = 1")
    book.run(
        "import os, signal\nfrom cellmesh.kernel.attaching import current\n"
        "old = current().workers[1]\nos.kill(old.pid, signal.SIGKILL)\n"
        "current().wait_workers(lambda w: len(w) == 2 and w[1].id != old.id and w[1].state != 'starting', 30)"
    )
    seen = book.run("%%distributed\nprint(model, 'extra' in globals())")
    assert "loaded True" in seen
    assert "loaded False" in seen
    assert "worker 1 is new" in seen
