"""The notebook that trains a model in an actor, with its kernel restarted in the middle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.server import Server

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_a_model_that_stays.ipynb"


def test_the_loss_goes_on_from_where_it_was(server: Server) -> None:
    pytest.importorskip("torch")
    cells = [
        "".join(cell["source"])
        for cell in json.loads(NOTEBOOK.read_text())["cells"]
        if cell["cell_type"] == "code"
    ]
    load, define, train, inside = cells[:4]
    book = server.notebook()
    for cell in (load, define, train):
        book.run(cell)
    told = book.run("print(len(history), history[-1])").split()
    book.restart()
    assert "actor trainer (Trainer), which is alive" in book.run(load)
    book.run(define)  # the same class and arguments: the living model
    assert book.run("print(len(before), before[-1])").split() == told
    shown = book.run(train)
    assert "step 150" in shown
    assert "step 200" in shown
    assert "parameters: 129" in book.run(inside)
    for cell in cells[4:]:  # its process is killed, and it goes on
        book.run(cell)
    book.close()
