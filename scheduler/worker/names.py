"""The names of a persistent namespace: which were captured, and which cells assigned there.

Owns that bookkeeping. Never decides who wins: a captured name is set because the kernel listed it. Read next:
`runner.py`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cellmesh.scheduler.objects import namespaces
from cellmesh.scheduler.wire.messages import Payload

_MISSING = object()


class Names:
    """Who set which name."""

    def __init__(self) -> None:
        self._captured: dict[str, str] = {}  # name -> digest that it was last set from
        self._owned: set[str] = set()
        self._listed: tuple[str, ...] = ()

    def listed(self) -> list[str]:
        """Names that distributed cells assigned here and that still exist. Any thread may ask."""
        return list(self._listed)

    def set_captured(
        self, names: Iterable[tuple[str, str]], blobs: Mapping[str, Payload], namespace: dict[str, Any]
    ) -> None:
        """Set what the kernel listed, unless the name still is what it was set to."""
        for name, digest in names:
            if self._captured.get(name) != digest or name not in namespace:
                namespace[name] = namespaces.loads(blobs[digest], namespace)
                self._captured[name] = digest
                self._owned.discard(name)

    def assigned(
        self, stores: Iterable[str], before: Mapping[str, Any], namespace: Mapping[str, Any], *, ended: bool
    ) -> None:
        """A cell has run: note what it assigned. `ended`: to its end, so all its stores have happened."""
        changed = {n for n in stores if ended or namespace.get(n, _MISSING) is not before.get(n, _MISSING)}
        # Magics such as %%time assign what the cell's own text does not show.
        changed.update(n for n in namespace.keys() - before.keys() if not n.startswith("_"))
        for name in changed:
            self._captured.pop(name, None)
        self._owned |= changed
        self._owned &= namespace.keys()
        self._listed = tuple(sorted(self._owned))

    def outdated(self) -> None:
        """Modules were reloaded: captured values must be loaded anew to refer to the new code."""
        self._captured.clear()
