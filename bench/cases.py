"""The cases, and what is asked of each: a floor ("must") and where it is heading ("goal").

Owns the table. Never measures. Figures are seconds per operation unless a case says otherwise; where peers
take part, a bound is a ratio against them, formed round by round. Read next: `__main__.py`, `verdict.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .harness import Table

POOL = "ProcessPoolExecutor (fork)"


@dataclass(frozen=True)
class Bound:
    """A limit for our own figure (in the case's unit), or for the ratio of peers' figures to ours."""

    value: float
    peers: tuple[str, ...] = ()  # the best of them counts; none: our own figure
    least: bool = False  # our own figure shall be at least so much

    def holds(self, table: Table) -> bool | None:
        """None where who is meant was not measured."""
        if not self.peers:
            own = table.median()
            if own is None:
                return None
            return own >= self.value if self.least else own <= self.value
        ratios = [ratio for peer in self.peers if (ratio := table.ratio(peer)) is not None]
        return min(ratios) >= self.value if ratios else None

    def text(self, unit: str) -> str:
        """For people."""
        if not self.peers:
            return f"{'≥' if self.least else '≤'} {self.value:g} {unit}"
        who = " and ".join("PPE" if peer == POOL else peer for peer in self.peers)
        return f"≥ {self.value:g}x {who}"


@dataclass(frozen=True)
class Case:
    """One row. `count` operations make a round; slow contenders do `fewer`."""

    title: str
    unit: str = "ms"
    scale: float = 1e3
    count: int = 1
    most_rounds: int = 11
    fewer: Mapping[str, int] = field(default_factory=dict)
    must: tuple[Bound, ...] = ()
    goal: tuple[Bound, ...] = ()


MIB = 1 << 20

COLD = Case(
    "cold start, import to first result",
    most_rounds=5,
    must=(Bound(700), Bound(4, ("Ray",))),
    goal=(Bound(300),),
)

TOGETHER = {  # with the peers, all of which stay up: name of the contenders' method -> case
    "submit": Case(
        "one task, submit to result",
        "µs",
        1e6,
        100,
        must=(Bound(0.5, (POOL,)), Bound(5, ("Ray",))),
        goal=(Bound(1, (POOL,)),),
    ),
    "submit_many": Case(
        "10,000 independent submits, per task",
        "µs",
        1e6,
        10_000,
        5,
        {"Ray": 2_000, "Dask": 1_000, "ipyparallel": 500},
        must=(Bound(1, (POOL,)), Bound(5, ("Ray",)), Bound(20, ("Dask",))),
        goal=(Bound(2, (POOL,)),),
    ),
    "map_many": Case(
        "map of 1,000,000 no-ops, no chunk size given, per item",
        "µs",
        1e6,
        1_000_000,
        5,
        must=(Bound(0.7, (POOL,)),),
        goal=(Bound(1.5, (POOL,)),),
    ),
    "arrays": Case(
        "1,000 tasks with arrays of 100 kB to their mean, per task",
        "µs",
        1e6,
        1_000,
        7,
        {"Dask": 200},
        must=(Bound(1.5, (POOL, "loky")), Bound(10, ("Dask",))),
        goal=(Bound(3, (POOL, "loky")),),
    ),
    "actor_call": Case(
        "one method call of an actor, and its result",
        "µs",
        1e6,
        200,
        must=(Bound(130), Bound(4, ("Ray",))),
        goal=(Bound(45),),
    ),
    "actor_many": Case(
        "10,000 calls on one actor before the first result is taken, per call",
        "µs",
        1e6,
        10_000,
        5,
        {"Dask": 1_000},
        must=(Bound(3, ("Ray",)), Bound(10, ("Dask",))),
        goal=(Bound(20),),
    ),
    "actor_array": Case(
        "a method call with an array of 1 MiB both ways", "µs", 1e6, 50, 7, must=(Bound(3, ("Ray",)),)
    ),
    "actor_stream": Case(
        "a generator method of 10,000 items, per item",
        "µs",
        1e6,
        10_000,
        5,
        {"Ray": 1_000},
        must=(Bound(2, ("Ray",)),),
        goal=(Bound(10),),
    ),
    "cell": Case("no-op %%distributed cell on 2 workers", "µs", 1e6, 20),
    "attach": Case("new process joins a running pool: interpreter start to end", most_rounds=5),
}

ON_DASK = {  # on a cluster of four workers, ours beside bare Dask, each on a cluster of its own
    "dask_map": Case(
        "on Dask: map of 10,000 tasks of 1 ms, per task",
        "µs",
        1e6,
        10_000,
        5,
        must=(Bound(1, ("Dask",)),),
        goal=(Bound(5, ("Dask",)),),
    ),
    "dask_actor": Case(
        "on Dask: one method call of an actor, and its result",
        "µs",
        1e6,
        200,
        must=(Bound(0.77, ("Dask",)),),
        goal=(Bound(1, ("Dask",)),),
    ),
    "dask_object": Case("on Dask: 100 MB to all workers", most_rounds=7, must=(Bound(0.91, ("Dask",)),)),
    "dask_cell": Case("on Dask: no-op %%distributed cell on 4 workers", count=20, must=(Bound(60),)),
}

ALONE = {  # of our own, with no peer running beside
    "idle_cpu": Case(
        "idle: CPU of hub, nursery and workers",
        "% of a core",
        1e2,
        most_rounds=3,
        must=(Bound(0.5),),
        goal=(Bound(0.25),),
    ),
    "idle_worker": Case(
        "idle: PSS of a worker", "MB", 1e-6, most_rounds=1, must=(Bound(30),), goal=(Bound(15),)
    ),
    "idle_rest": Case(
        "idle: PSS of hub, nursery, template", "MB", 1e-6, most_rounds=1, must=(Bound(80),), goal=(Bound(40),)
    ),
    "queued_memory": Case(
        "hub memory per queued task",
        "bytes",
        1,
        100_000,
        1,
        must=(Bound(2048),),
        goal=(Bound(1024),),
    ),
    "put": Case(
        "put of 256 MiB into a freed segment: share of memcpy's speed",
        "%",
        1e2,
        1,
        7,
        must=(Bound(60, least=True),),
        goal=(Bound(90, least=True),),
    ),
    "shared_ref": Case(
        "the same 256 MiB ref into 20 tasks, more than 20 no-op tasks", must=(Bound(10),), goal=(Bound(0),)
    ),
    "cancel": Case("cancel a running Python task: slot free again", must=(Bound(100),), goal=(Bound(20),)),
    "kill": Case("kill -9 a worker: replacement serving", must=(Bound(400),), goal=(Bound(100),)),
    "actor_start": Case("start of an actor to its first answer", must=(Bound(60),), goal=(Bound(20),)),
    "actor_back": Case(
        "kill -9 an actor with a state of 100 MB: it answers",
        most_rounds=5,
        must=(Bound(1000),),
        goal=(Bound(300),),
    ),
    "actor_batch": Case(
        "a torch MLP asked by 64 callers: @cm.batch against single calls",
        "times",
        1,
        most_rounds=3,
        must=(Bound(5, least=True),),
    ),
    "outstanding": Case(
        "100,000 outstanding, rate kept of that with 1,000",
        "%",
        1e2,
        100_000,
        3,
        must=(Bound(80, least=True),),
        goal=(Bound(95, least=True),),
    ),
}

KERNEL = Case(
    "new kernel attaches to a hub with warm workers, import to first result",
    must=(Bound(80),),
    goal=(Bound(30),),
    most_rounds=7,
)
KERNEL_START = Case("the same, with the kernel's own start", most_rounds=7)
STOP = "Stop of a busy {}: interrupt to idle kernel"
CORE = Case("the pure core, per event", "µs", 1e6)
SIMULATED = Case("the pure core, 1,000 workers, 1,000,000 tasks: per decision", "µs", 1e6)
SIMULATED_MEMORY = Case("the same: memory of the core per queued task", "bytes", 1)
PATH = "CPU of a submitted no-op, {}"
