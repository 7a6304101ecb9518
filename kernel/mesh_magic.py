"""`%mesh` and its subcommands.

Owns their words and arguments. Never does what `session.py` and `api.py` do: it calls them. Bad input is one
line, a UsageError. Read next: `session.py`, `cellmesh/widgets/views.py`.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from IPython.core.error import UsageError

from cellmesh.scheduler.engines.contract import EngineError
from cellmesh.scheduler.objects.logbook import LogRecord, read_logs
from cellmesh.widgets.views import MeshView

from . import api, attaching, meshing, reattaching, stop, targets
from .actors import listing, reloading, saving
from .actors.directory import directory_of
from .arguments import near, split
from .jobs import Job
from .session import Session

TAIL = 200
_ENGINES = ("embedded", "inline", "dask")
_LATER = ("debug",)
_FLAGS = ("--insecure",)
_TEXTS = ("engine", "address", "NAME", "SIZE", "--checkpoints", *_FLAGS)


def run(shell: Any, line: str) -> Any:
    """Do what the line says; what is returned is shown, or assigned (`r = %mesh attach 3`)."""
    words = split(line, "%mesh")
    command, arguments = (words[0], words[1:]) if words else ("", [])
    if command in _LATER:
        raise UsageError(f"%mesh {command} is not in this version yet")
    if command == "help":
        print("%mesh alone shows the state. Commands: " + ", ".join(name for name in _COMMANDS if name))
        return None
    if command not in _COMMANDS:
        raise UsageError(
            f"%mesh: there is no {command!r}{near(command, [name for name in _COMMANDS if name])}"
        )
    action, known = _COMMANDS[command]
    options = _read(command, arguments, known)
    try:
        if command == "connect":
            return _connect(options)
        return action(attaching.current(), options)
    except EngineError as error:
        raise UsageError(f"%mesh{' ' * bool(command)}{command}: {error}") from None


Options = dict[str, Any]


def _read(command: str, words: list[str], known: tuple[str, ...]) -> Options:
    """Options named in `known`; bare words are those that are named without dashes, in order."""
    found: Options = {}
    left = list(words)
    name = f"%mesh {command}".rstrip()
    bare = [option for option in known if not option.startswith("-")]
    while left:
        word, equals, attached = left.pop(0).partition("=")
        if word.startswith("-") and word in known:
            value = attached if equals else "" if word in _FLAGS or not left else left.pop(0)
            key = word
        elif not word.startswith("-") and (free := [option for option in bare if option not in found]):
            key, value = free[0], word
        else:
            dashed = [option for option in known if option.startswith("-")]
            hint = near(word, dashed) if dashed else "; it takes no options" if not bare else ""
            raise UsageError(f"{name}: {word!r} is not understood{hint}")
        if key in found:
            raise UsageError(f"{name}: {key} is given twice")
        if key not in _TEXTS:
            if not value.isdigit():
                raise UsageError(f"{name}: {key} needs a number, not {value!r}")
            found[key] = int(value)
        else:
            found[key] = value
    return found


def _status(session: Session, options: Options) -> Any:
    return MeshView(session.engine.status(), session.spec.key)


def _start(session: Session, options: Options) -> None:
    size, gpus = options.get("-n", options.get("N")), options.get("--gpus")
    if size == 0:
        raise UsageError("%mesh start: a mesh needs at least one worker (%mesh stop ends them all)")
    have = len(session.workers)
    if have:
        each = len(session.workers[0].gpus)
        if (size is not None and size != have) or (gpus is not None and gpus != each):
            raise UsageError(
                f"%mesh start: the mesh has {_count(have)} already; %mesh scale {size or have} changes their "
                "number, %mesh stop ends them"
            )
    before = have
    session.ensure_mesh(size, gpus or 0)
    what = "are running already" if before else "are ready"
    print(f"cellmesh: {_count(len(session.workers))} {what}".replace("1 worker are", "1 worker is"))


def _scale(session: Session, options: Options) -> None:
    if "SIZE" not in options:
        raise UsageError("%mesh scale: how many workers? For example %mesh scale 4")
    least, most = _range(options["SIZE"])
    gpus = len(session.workers[0].gpus) if session.workers else 0
    if not session.engine.scale(least, most):
        session.set_mesh(least, gpus)
    elif not session.workers:
        return  # the first cell starts as many as there is room for
    elif most is None:
        session.set_mesh(meshing.natural(session.engine.capacity(), gpus), gpus)
    print(f"cellmesh: the mesh has {_count(len(session.workers))}")


def _range(text: str) -> tuple[int, int | None]:
    """
    >>> _range("4"), _range("2..8")
    ((4, None), (2, 8))
    """
    least, dots, most = text.partition("..")
    if not least.isdigit() or (dots and not most.isdigit()):
        raise UsageError(f"%mesh scale: N needs a number, or two like 2..8, not {text!r}")
    found = int(least), int(most) if dots else None
    if (found[1] if found[1] is not None else found[0]) == 0:
        raise UsageError("%mesh scale: a mesh needs at least one worker (%mesh stop ends them all)")
    if found[1] is not None and found[1] < found[0]:
        raise UsageError(f"%mesh scale: {text} is from more to less; {found[1]}..{found[0]} is meant?")
    return found


def _stop(session: Session, options: Options) -> None:
    had = len(session.workers)
    session.set_mesh(0)
    targets.memory(session).ids.clear()  # nobody needs to be told that they are gone
    print(f"cellmesh: {_count(had)} stopped" if had else "cellmesh: no workers were running")


def _reset(session: Session, options: Options) -> None:
    session.reset()
    targets.forget(session)
    print("cellmesh: jobs, results and the workers' variables are cleared")


def _jobs(session: Session, options: Options) -> Any:
    return api.jobs()


def _attach(session: Session, options: Options) -> Any:
    found = session.find_job(options.get("N"))
    if isinstance(found, Job) and found.claimed and found.finished:
        _show_ended(session, found)
        return None
    if isinstance(found, Job) and not found.surviving:
        reattaching.replay(session, found)
        return None
    return reattaching.results_of(session, options.get("N"))


def _show_ended(session: Session, job: Job) -> None:
    """Nothing of it is kept any more but what the logs have."""
    begin = f"cellmesh: job {job.number} ({job.title}) has ended and its results were taken; "
    folder = session.engine.logs()
    if not folder:
        print(f"{begin}this engine keeps no logs: what it printed is in its cell")
        return
    records = list(read_logs(folder, None, job.id, TAIL))
    what = f"this is what it printed (the last {TAIL} lines at most)" if records else "it printed nothing"
    print(f"{begin}{what}")
    _print_records(records)


def _logs(session: Session, options: Options) -> None:
    folder = session.engine.logs()
    if not folder:
        print("cellmesh: this engine keeps no logs: all output is in the cells")
        return
    job = options.get("--job")
    job_id = session.find_job(job).id if job is not None else None
    tail = options.get("--tail", TAIL)
    worker = options.get("--worker")
    known = {item.number for item in session.workers}
    if not _print_records(read_logs(folder, worker, job_id, tail)):
        gone = worker is not None and worker not in known
        print(f"cellmesh: there is no worker {worker}" if gone else "cellmesh: nothing was printed")
        return
    print(f"cellmesh: the last {tail} lines at most; --tail N shows more; the files are in {folder}")


def _print_records(records: Iterable[LogRecord]) -> bool:
    """Print what workers printed, with whose it is; whether there was anything."""
    begun = True  # whether the next text begins a line
    label = ""
    for record in records:
        if record.worker.removeprefix("w") != label and not begun:
            sys.stdout.write("\n")
            begun = True
        label = record.worker.removeprefix("w")  # as the cells label it
        for text in record.text.splitlines(keepends=True):
            sys.stdout.write(f"[{label}] {text}" if begun else text)
            begun = text.endswith("\n")
    if label and not begun:
        sys.stdout.write("\n")
    return bool(label)


def _actors(session: Session, options: Options) -> Any:
    return listing.actors()


def _free(session: Session, options: Options) -> None:
    for found in listing.find(session, _name("free", options)):
        held = f"; GPU {', '.join(found.gpus)} is free" if found.gpus else ""
        directory_of(session).caller(found).end("was freed")
        print(f"cellmesh: actor {found.name or found.title} has ended{held}")


def _reload(session: Session, options: Options) -> None:
    name = _name("reload", options)
    shell = stop.shell()
    title = reloading.reload(session, name, shell.user_ns if shell is not None else {})
    print(f"cellmesh: actor {name} goes on with the class {title} as it is now")


def _save(session: Session, options: Options) -> None:
    names = saving.save(session, options.get("NAME", ""))
    what = (
        f"saved {', '.join(names)} in {saving.folder()}" if names else "no detached actor with a name lives"
    )
    print(f"cellmesh: {what}")


def _restore(session: Session, options: Options) -> None:
    names = saving.restore(session, options.get("NAME", ""))
    what = f"restored {', '.join(names)}" if names else "nothing to restore: all that was saved lives"
    print(f"cellmesh: {what}")


def _name(command: str, options: Options) -> str:
    if "NAME" not in options:
        raise UsageError(f"%mesh {command}: which actor? For example %mesh {command} llm (%mesh actors)")
    name: str = options["NAME"]
    return name


def _connect(options: Options) -> None:
    engine = options.get("engine", "")
    known = "embedded (this machine), inline (this process) or dask ADDRESS"
    if not engine:
        raise UsageError(f"%mesh connect: to which engine? {known}")
    if engine not in _ENGINES:  # before the session that is there is left
        raise UsageError(f"%mesh connect: {engine} is not there; {known}")
    if engine == "dask":
        if "address" not in options:
            raise UsageError("%mesh connect dask: to which address? For example tls://scheduler:8786")
        api.connect(
            engine,
            options["address"],
            insecure="--insecure" in options,
            checkpoints=options.get("--checkpoints", ""),
        )
    else:
        api.connect(engine)
    if engine != "dask":  # which says more itself
        print(f"cellmesh: connected to the {attaching.current().engine.name} engine")


def _count(size: int) -> str:
    return f"{size} worker{'s' * (size != 1)}"


_COMMANDS: dict[str, tuple[Callable[[Session, Options], Any], tuple[str, ...]]] = {
    "": (_status, ()),
    "start": (_start, ("-n", "--gpus", "N")),
    "scale": (_scale, ("SIZE",)),
    "stop": (_stop, ()),
    "reset": (_reset, ()),
    "jobs": (_jobs, ()),
    "attach": (_attach, ("N",)),
    "logs": (_logs, ("--worker", "--job", "--tail")),
    "actors": (_actors, ()),
    "free": (_free, ("NAME",)),
    "reload": (_reload, ("NAME",)),
    "save": (_save, ("NAME",)),
    "restore": (_restore, ("NAME",)),
    "connect": (_status, ("engine", "address", "--insecure", "--checkpoints")),
}
