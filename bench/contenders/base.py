"""What a contender is, and which there are.

Owns the interface. Never imports a peer before it is asked for. Read next: `mesh.py`.
"""

import functools
import importlib
import importlib.util
import subprocess
import sys
from typing import Any

MIB = 1 << 20

WHERE = {  # name -> (module of ours, package that must be installed)
    "cellmesh": ("mesh", "cellmesh"),
    "ProcessPoolExecutor (fork)": ("processpool", "concurrent"),
    "loky": ("lokypeer", "loky"),
    "Ray": ("raypeer", "ray"),
    "Dask": ("daskpeer", "distributed"),
    "ipyparallel": ("ipppeer", "ipyparallel"),
}

ON_DASK = {"cellmesh": "ondask", "Dask": "baredask"}
"""Who is measured on a cluster of four Dask workers, if Dask is installed: name -> module of ours."""


def noop() -> None:
    """What every contender runs."""


def same(value: Any) -> Any:
    """What every contender maps."""
    return value


def mean(array: Any) -> float:
    """What every contender does to an array."""
    return float(array.mean())


@functools.cache
def arrays(count: int) -> list[Any]:
    """So many arrays of 100 kB (a few different ones, again and again)."""
    import numpy

    few = [numpy.random.default_rng(seed).random(12_500) for seed in range(16)]
    return [few[index % len(few)] for index in range(count)]


@functools.cache
def megabyte() -> Any:
    """An array of 1 MiB."""
    import numpy

    return numpy.ones(MIB // 8)


def run_script(script: str, *arguments: str) -> None:
    """Run a script in a new interpreter to its end."""
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, stdout=subprocess.DEVNULL)


class Contender:
    """A way to run work with two workers."""

    version = ""

    def start(self) -> None:
        """Bring two workers up, ready for work."""

    def stop(self) -> None:
        """Take everything down."""

    def can(self, case: str) -> bool:
        """Whether it does this case."""
        return hasattr(self, case)


def names() -> list[str]:
    """Contenders whose packages are installed."""
    return [name for name, (_, package) in WHERE.items() if importlib.util.find_spec(package)]


def load(module: str) -> Any:
    """The contender of this module."""
    return importlib.import_module(f"bench.contenders.{module}").Peer()
