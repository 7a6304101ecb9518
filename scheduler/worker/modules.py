"""Local modules that were edited since they were imported are the edited modules at the next job.

Owns which loaded modules are local (neither standard library nor installed), their state on disk, and
reloading. Never looks at a module more than once to learn what it is: with no local modules loaded, a check
costs one `len`. Read next: `runner.py`.
"""

import ast
import importlib
import importlib.util
import os
import site
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

_Stamp = tuple[int, int]


@dataclass(slots=True)
class _Local:
    module: ModuleType
    path: str
    stamp: _Stamp | None
    stale: bool = False  # must be reloaded though its own file has not changed


@cache
def installed() -> tuple[str, ...]:
    """Folders of modules that are nobody's own work; finding them takes milliseconds."""
    paths = sysconfig.get_paths()
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.update(site.getsitepackages() if hasattr(site, "getsitepackages") else ())
    folders.add(site.getusersitepackages())
    return tuple(os.path.join(os.path.realpath(folder), "") for folder in folders)


def _stamp(path: str) -> _Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None  # deleted, or just being replaced: what is loaded stays
    return status.st_mtime_ns, status.st_size


class LocalModules:
    """The local modules of this process."""

    def __init__(self) -> None:
        self._installed = installed()
        self._known: set[str] = set()
        self._local: dict[str, _Local] = {}
        self._count = 0
        self.generation = 0  # grows with every reload: what was loaded before refers to old code

    def look(self) -> None:
        """Learn what has been imported since; cheap if nothing was."""
        if len(sys.modules) == self._count:
            return
        for name in list(sys.modules):
            if name not in self._known:
                self._known.add(name)
                module = sys.modules[name]
                path = self._local_path(name, module)
                if path is not None:
                    self._local[name] = _Local(module, path, _stamp(path))
        self._count = len(sys.modules)

    def refresh(self) -> list[str]:
        """Reload what was edited and what took names from it; answers their names. Raises what they raise."""
        self.look()
        if not self._local:
            return []
        edited = set()
        for name, local in list(self._local.items()):
            module = sys.modules.get(name)
            if module is None:  # somebody wants it imported afresh
                del self._local[name]
                self._known.discard(name)
                self._count = -1
            elif module is not local.module:
                local.module, local.stamp, local.stale = module, _stamp(local.path), False
            else:
                stamp = _stamp(local.path)
                if local.stale or (stamp is not None and stamp != local.stamp):
                    edited.add(name)
        if not edited:
            return []
        order = self._order(edited)
        for name in order:
            # Until its reload succeeds a module stays stale, so that the error comes again with the next job.
            self._local[name].stale = True
        importlib.invalidate_caches()
        self.generation += 1
        for name in order:
            self._reload(self._local[name])
        return order

    def _reload(self, local: _Local) -> None:
        stamp = _stamp(local.path)
        # A cached compilation is told apart by seconds only: an edit within the same second would be missed.
        try:
            Path(importlib.util.cache_from_source(local.path)).unlink(missing_ok=True)
        except (OSError, NotImplementedError):
            pass  # a read-only or absent cache holds no newer compilation either
        local.module = importlib.reload(local.module)
        local.stamp, local.stale = stamp, False

    def _order(self, edited: set[str]) -> list[str]:
        """The edited modules and those that took names from them, each after those it took names from."""
        sources = {name: self._takes_from(name, local) for name, local in self._local.items()}
        wanted = set(edited)
        while True:
            more = {name for name, froms in sources.items() if name not in wanted and froms & wanted}
            if not more:
                break
            wanted |= more
        order: list[str] = []
        visiting: set[str] = set()

        def visit(name: str) -> None:
            if name in visiting:
                return  # done, or a circle: any order will do
            visiting.add(name)
            for source in self._local:
                if source in wanted and source in sources[name]:
                    visit(source)
            order.append(name)

        for name in self._local:
            if name in wanted:
                visit(name)
        return order

    @staticmethod
    def _takes_from(name: str, local: _Local) -> set[str]:
        try:
            tree = ast.parse(Path(local.path).read_bytes())
        except (OSError, SyntaxError, ValueError):
            return set()  # its reload will say what is wrong
        found: set[str] = set()
        package = getattr(local.module, "__package__", None) or name
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                try:
                    source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                except ImportError:
                    continue  # beyond the top-level package; it could not have been imported
                found.add(source)
                found.update(f"{source}.{alias.name}" for alias in node.names)
        found.discard(name)
        return found

    def _local_path(self, name: str, module: object) -> str | None:
        if name == "__main__" or name.partition(".")[0] == "cellmesh":
            return None
        path = getattr(module, "__file__", None)
        spec = getattr(module, "__spec__", None)
        if not isinstance(path, str) or not path.endswith(".py") or spec is None:
            return None
        if not isinstance(module, ModuleType) or os.path.realpath(path).startswith(self._installed):
            return None
        return path
