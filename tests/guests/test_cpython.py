"""CPython's own tests of executors, run by `cm.Executor` on real workers.

Owns finding them: distributions pack them apart from Python, and 3.12 moved them about.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import cloudpickle
import pytest
from guests.conftest import attach

import cellmesh as cm

_MODULES: list[Any] = []


def _package() -> Any:
    import test

    system = f"/usr/lib/python{sys.version_info.major}.{sys.version_info.minor}/test"
    if system not in test.__path__:
        test.__path__.append(system)  # for a Python of another origin than the system's
    return pytest.importorskip(
        "test.test_concurrent_futures",
        reason="needs CPython's own tests (on Debian: libpython3.11-testsuite, or that of your version)",
    )


def _theirs(name: str, module: str) -> Any:
    found = _package()
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"{found.__name__}.{module}")
    _MODULES.append(found)
    return getattr(found, name)


class OnThePool(_theirs("ExecutorMixin", "util"), _theirs("BaseTestCase", "util")):  # type: ignore[misc]
    """What their mixins need: the kind of executor, and the pool under it."""

    executor_type = cm.Executor

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _attached(cls) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CELLMESH_CPUS", "2")
            session = attach("embedded")
            for module in _MODULES:
                cloudpickle.register_pickle_by_value(module)  # a worker may not find what is found here
            yield
            for module in _MODULES:
                if module.__name__ in cloudpickle.list_registry_pickle_by_value():
                    cloudpickle.unregister_pickle_by_value(module)
            session.close(end_session=True)


class TestExecutor(_theirs("ExecutorTest", "executor"), OnThePool):  # type: ignore[misc]
    """submit, map, and what they must not keep alive; their five workers are more than there are cores."""


class TestBoundedExecutor(TestExecutor):
    """The same with fewer workers than cores."""

    worker_count = 1


class TestWait(_theirs("WaitTests", "test_wait"), OnThePool):  # type: ignore[misc]
    """concurrent.futures.wait, also over Futures that are not ours."""


class TestAsCompleted(_theirs("AsCompletedTests", "test_as_completed"), OnThePool):  # type: ignore[misc]
    """concurrent.futures.as_completed, also over Futures that are not ours."""
