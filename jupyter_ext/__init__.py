"""The Jupyter server's side: starts and finds the hub for this server's kernels, and shows its state.

Owns the extension point and nothing else. Never imported by a kernel.
Read next: `app.py` (wiring), `doorbell.py` (how a kernel asks for the hub).
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server what to load; imported late, so that listing extensions stays quick."""
    from .app import CellmeshApp

    return [{"module": "cellmesh.jupyter_ext", "app": CellmeshApp}]
