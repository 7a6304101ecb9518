"""Interpreters that cannot be started, and what is said of them."""

from __future__ import annotations

import os
import selectors
from pathlib import Path

from cellmesh.scheduler.nursery.templates import Templates
from cellmesh.scheduler.wire import folders
from cellmesh.scheduler.wire.control import EnsureTemplate, StartProcess, WorkerSpec
from cellmesh.scheduler.wire.messages import Interpreter


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
