"""`%load_ext cellmesh`: attach, register, and say what survived.

Owns what happens at loading and unloading. Never starts workers. Read next: `attaching.py`, `greeting.py`,
`magics.py`.
"""

from typing import Any

from IPython.core.error import UsageError

from cellmesh.scheduler.engines.contract import EngineError

from . import attaching
from .greeting import greeting
from .magics import MeshMagics
from .transform import spread_rank


def load_ipython_extension(shell: Any) -> None:
    """Attach this notebook, and bring the magics."""
    before = attaching.attached()
    try:
        session = attaching.current()
    except EngineError as error:
        raise UsageError(f"cellmesh: {error}") from None
    known = spread_rank in shell.input_transformers_cleanup
    if not known:
        shell.input_transformers_cleanup.append(spread_rank)
        shell.register_magics(MeshMagics)
    if known and before is session:
        print("cellmesh is loaded already; %mesh shows its state.")
        return
    for line in greeting(session):
        print(line)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away. The session stays attached: what runs goes on, and `cm.map` still works.

    Leaving the engine here would end everything at a `%reload_ext` where there is no grace time.
    """
    if spread_rank in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.remove(spread_rank)
    for kind, names in MeshMagics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
