"""A training that is killed goes on to the same losses: weights, optimizer and chance are where they were."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from crash.killing import Mesh, kill

import cellmesh as cm

torch = pytest.importorskip("torch")
STEPS = 20


class Training:
    """Draws its data and its dropout from torch's own generator, and noise from the others."""

    def __init__(self) -> None:
        import numpy
        import torch

        torch.manual_seed(3)
        numpy.random.seed(3)
        random.seed(3)
        layers = [torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(16, 1)]
        self.model = torch.nn.Sequential(*layers)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)

    def step(self) -> float:
        import numpy
        import torch

        rows = torch.randn(32, 8) + float(numpy.random.normal()) * random.random()
        self.optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(self.model(rows), rows.sum(1, keepdim=True))
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def pid(self) -> int:
        return os.getpid()


@pytest.mark.parametrize("replay", [False, True], ids=["checkpoint", "replay"])
def test_the_losses_are_those_of_a_training_that_was_not_killed(mesh: Mesh, replay: bool) -> None:
    undisturbed: Any = cm.actor(Training).start()
    wanted = [undisturbed.step().result(60) for _ in range(STEPS)]
    training: Any = cm.actor(restarts=9, replay=replay)(Training).start()
    losses = [training.step().result(60) for _ in range(5)]
    for more in (3, 4):
        assert training.checkpoint().result(60) > 0
        if replay:
            losses += [training.step().result(60) for _ in range(more)]
        pid = training.pid().result(60)
        kill(pid)
        losses.append(training.step().result(60))
        assert training.pid().result(60) != pid
    losses += [training.step().result(60) for _ in range(STEPS - len(losses))]
    assert losses == wanted
    assert len(set(wanted)) == STEPS
    training.stop()
    undisturbed.stop()
