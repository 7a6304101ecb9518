"""Questions to the hub, and Stop while one is asked: whoever hears the answers is never held up by that."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

import pytest

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.engines.questions import Questions
from cellmesh.scheduler.wire.messages import Actors, ListActors


def stopped_at(step: int, questions: Questions) -> bool:
    """Ask, and be stopped after so many bytecodes; False if it was over before."""
    left = step

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        questions.ask(ListActors)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_stop_at_any_bytecode_of_a_question_keeps_no_answer_from_coming() -> None:
    questions: Questions
    hub: Any = lambda question: questions.answered(Actors(question.request, []))  # noqa: E731
    questions = Questions(hub)
    step = 1
    while stopped_at(step, questions):
        hears = threading.Thread(target=questions.answered, args=(Actors(step, []),), daemon=True)
        hears.start()
        hears.join(10)
        assert not hears.is_alive(), f"stopped after {step} bytecodes"
        step += 1
    assert step > 50


def test_who_asks_when_the_hub_has_ended_is_told() -> None:
    questions = Questions(lambda question: questions.lose())
    for _ in range(2):
        with pytest.raises(EngineError, match="has ended"):
            questions.ask(ListActors)
