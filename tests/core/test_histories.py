"""Any history keeps the invariants, and when it stops every job ends and nothing leaks."""

import random

import pytest
from core_histories import History
from hypothesis import HealthCheck, given, settings, strategies as st


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), steps=st.integers(1, 60))
def test_hypothesis_histories(data, steps):
    History(lambda n: data.draw(st.integers(0, n - 1)) if n > 1 else 0).run(steps)


@pytest.mark.parametrize("block", range(10))
def test_seeded_histories(block):
    for seed in range(block * 20, block * 20 + 20):
        try:
            History(random.Random(seed).randrange).run(250)
        except BaseException as bug:
            bug.add_note(f"seed {seed}")
            raise
