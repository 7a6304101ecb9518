"""Interpreters that workers are forked from: which cannot be started, and which nobody uses any more."""

from __future__ import annotations

import os
import selectors
import uuid
from pathlib import Path

import msgspec
import psutil
from conformance.recording import Desk, interpreter
from crash.killing import until

from cellmesh.scheduler.engines.embedded import EmbeddedEngine
from cellmesh.scheduler.nursery.start import ensure_hub
from cellmesh.scheduler.nursery.templates import Templates
from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.wire.control import EnsureTemplate, StartProcess, WorkerSpec
from cellmesh.scheduler.wire.messages import Interpreter
from tests.support import leftovers


def test_the_last_words_of_an_interpreter_are_told_however_long_the_log_is(runtime: Path) -> None:
    _, data = folders.make_hub_folders("test")
    with (data / "workers.log").open("wb") as file:
        file.truncate(1 << 40)  # a hole: nobody has the memory to read that
    shell = data / "python"
    shell.write_text("#!/bin/sh\necho first >&2\necho 'no python here' >&2\nexit 1\n")
    shell.chmod(0o700)
    told: list[str] = []
    with selectors.DefaultSelector() as selector:
        templates = Templates("test", 0o077, selector, lambda *_: None, lambda _, why: told.append(why))
        templates.ensure(EnsureTemplate("digest", Interpreter(str(shell), {}, "/", []), True))
        (pid,) = templates.pids()
        os.waitpid(pid, 0)
        templates.start_worker(StartProcess("digest", WorkerSpec(1, None, "", "", "", [])))
        assert templates.gone(pid, "ended itself")
    assert told == ["its interpreter ended itself: no python here"]


def test_a_template_ends_when_the_last_session_that_uses_it_has_another_or_is_gone(runtime: Path) -> None:
    folder = ensure_hub(f"test-{uuid.uuid4().hex[:6]}")
    first, second = Desk(EmbeddedEngine(folder), "one"), Desk(EmbeddedEngine(folder), "two")
    nursery = psutil.Process(first.engine.status().nursery)

    def templates() -> int:
        return sum(child.name() == "cellmesh-templ" for child in nursery.children())

    here = interpreter()
    for number in range(4):
        there = msgspec.structs.replace(here, environ={**here.environ, "PYTHONTEST": str(number)})
        second.engine.set_context(there)
        assert second.value(second.call(os.getenv, "PYTHONTEST")) == str(number)
    until(lambda: templates() == 2, "an end of those that were used before")
    second.engine.close(end_session=True)
    until(lambda: templates() == 1, "an end of the other session's")
    assert first.value(first.call(abs, -3)) == 3
    first.engine.close(end_session=True)
    assert leftovers.wait_until_gone([nursery.pid]) == []
