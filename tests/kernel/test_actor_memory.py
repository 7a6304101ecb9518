"""What lies in the memory of an actor's device stays there: kept, passed on, fetched, freed, lost.

All that is not the device itself, over memory of processes (`blocks.py`); `test_actor_gpu.py` has the same
with a GPU.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Kernel, started

ACTORS = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
%load_ext cellmesh
import cellmesh as cm, blocks, gc, os, time
from blocks import Block

@cm.actor
class Holder:
    def __init__(self):
        self.kept = None
    def make(self, content, seconds=0):
        time.sleep(seconds)
        return Block(content)
    def pair(self):
        block = Block(b"shared")
        return {{"one": [block, b"x" * 200_000], "same": block}}
    def keep(self, thing):
        self.kept = thing
    def read(self, block):
        return block[:], type(block).__name__
    def write(self, block, content):
        block[:] = content
    def nap(self, seconds, *things):
        time.sleep(seconds)
    def until(self, path):
        while not os.path.exists(path):
            time.sleep(0.01)
    def drop(self):
        self.kept = None
    def count(self):
        gc.collect()
        return len(Block.alive), blocks.Loan.recalled
    def give(self, other, content):
        return other.keep(Block(content)).result()
    def make_and_ask(self, other, content):
        return other.read(Block(content)).result()
    def make_and_add(self, other, slow, content):
        return other.read_first(Block(content), slow.nap(0.1)).result()
    def read_first(self, block, nothing):
        return self.read(block)
    def use(self, other):
        block = other.make(b"inside").result()
        return block[:], type(block).__name__
    def stream(self):
        yield Block(b"item")
    @cm.batch(max_size=4)
    def each(self, contents):
        return [Block(content) for content in contents]
    async def later(self, content):
        return Block(content)

def at(place, **more):
    return Holder.start(env={{"BLOCKS": place, **more.pop("env", {{}})}}, **more)

def comes(check, seconds=20):
    end = time.monotonic() + seconds
    while not check() and time.monotonic() < end:
        time.sleep(0.01)
    return check()

def counts(h, expected):
    return comes(lambda: h.count().result() == expected) or h.count().result()
"""


@pytest.fixture
def engine_name() -> str:
    return "embedded"


@pytest.fixture
def holders(kernel: Kernel) -> Kernel:
    kernel.ok(ACTORS)
    return kernel


def test_a_result_stays_and_its_copy_is_taken(holders: Kernel) -> None:
    holders.ok("h = at('left')\nf = h.make(b'abc')\ncm.wait([f]);")
    assert holders.ok("f").result.endswith(" bytes, and 3 bytes on left>")
    assert holders.ok("print(cm.actors())").stdout.count("3 bytes kept") == 1
    assert holders.ok("f.result(), h.count().result()").result == "(b'abc', (1, 0))"
    assert "3 bytes by host memory" in holders.ok("print(cm.actors())").stdout


def test_it_goes_with_the_last_reference(holders: Kernel, tmp_path: Path) -> None:
    holders.ok("a, b = at('left'), at('right')\nf = a.make(b'abc')\ncm.wait([f]);")
    holders.ok(f"b.until({str(tmp_path / 'now')!r})\ng = b.nap(0, [f])\ndel f")
    assert holders.ok("a.count().result()").result == "(1, 0)", "a call under way has it"
    (tmp_path / "now").touch()
    assert holders.ok("counts(a, (0, 0))").result == "True"


def test_it_goes_if_nobody_waits_for_it_any_more(holders: Kernel) -> None:
    holders.ok("h = at('left')\nh.make(b'abc', 0.2)\nf = h.later(b'abc')\nf.cancel()")
    assert holders.ok("counts(h, (0, 0))").result == "True"


def test_containers_and_what_is_in_them_twice(holders: Kernel) -> None:
    holders.ok("a, b = at('left'), at('left')\nf = a.pair()\ncm.wait([f]);")
    holders.ok("def twice(p):\n    return p['one'][0] is p['same'], len(p['one'][1])")
    assert holders.ok("p = f.result(); twice(p)").result == "(True, 200000)"
    holders.ok("b.keep(f).result()\ndel f, p")
    assert holders.ok("counts(a, (1, 0)), counts(b, (1, 0))").result == "(True, True)"
    assert holders.ok("b.drop().result(); counts(a, (0, 0)), counts(b, (0, 0))").result == "(True, True)"


@pytest.mark.parametrize("call", ["a.each(b'abc')", "a.later(b'abc')", "a.make.map([b'abc'])._futures[0]"])
def test_all_methods_but_streams_keep(holders: Kernel, call: str) -> None:
    holders.ok(f"a = at('left')\nf = {call}\ncm.wait([f]);")
    assert holders.ok("a.count().result(), f.result(), await f").result == "((1, 0), b'abc', b'abc')"
    assert holders.ok("await a.make(b'xyz')").result == "b'xyz'"
    assert holders.ok("list(a.stream())").result == "[b'item']"


def test_it_passes_to_another_actor_of_the_same_place(holders: Kernel) -> None:
    holders.ok("a, b = at('left'), at('left')\nf = a.make(b'abc')\nb.write(f, b'xyz').result()")
    assert holders.ok("f.result(), b.read(f).result()").result == "(b'xyz', (b'xyz', 'Block'))"
    assert "6 bytes by mapping" in holders.ok("print(cm.actors())").stdout


def test_it_passes_to_another_place_as_a_copy(holders: Kernel) -> None:
    holders.ok("a, b, c = at('left'), at('right'), Holder.start()\nf = a.make(b'abc')")
    holders.ok("b.write(f, b'xyz').result()")
    assert holders.ok("f.result(), b.read(f).result(), c.read(f).result()").result == (
        "(b'abc', (b'abc', 'Block'), (b'abc', 'bytes'))"
    )
    shown = holders.ok("print(cm.actors())").stdout
    assert "12 bytes by host memory" in shown
    assert "mapping" not in shown


def test_where_the_driver_does_not_lend_it_is_copied(holders: Kernel) -> None:
    holders.ok("a, b = at('left'), at('left', env={'BLOCKS_DRIVER': 'broken'})\nf = a.make(b'abc')")
    assert holders.ok("b.keep(f).result(); b.read(f).result()").result == "(b'abc', 'Block')"
    assert holders.ok("del f; counts(a, (0, 2))").result == "True", "two loans that were not opened"


def test_the_actor_itself_gets_what_it_made(holders: Kernel) -> None:
    holders.ok("a = at('left')\nf = a.make(b'abc')\na.write(f, b'xyz').result()")
    assert holders.ok("a.count().result(), f.result()").result == "((1, 0), b'xyz')"
    assert "mapping" not in holders.ok("print(cm.actors())").stdout


def test_arguments_of_an_actors_own_calls_stay(holders: Kernel) -> None:
    holders.ok("a, b = at('left'), at('left')")
    assert holders.ok("a.make_and_ask(b, b'abc').result()").result == "(b'abc', 'Block')"
    holders.ok("a.give(b, b'xyz').result()")
    assert (
        holders.ok("counts(a, (1, 0)), b.drop().result(), counts(a, (0, 0))").result == "(True, None, True)"
    )
    assert "6 bytes by mapping" in holders.ok("print(cm.actors())").stdout


def test_a_result_taken_inside_an_actor_is_there_as_it_is(holders: Kernel) -> None:
    holders.ok("a, b = at('left'), at('left')")
    assert holders.ok("b.use(a).result(), counts(a, (0, 0))").result == "((b'inside', 'Block'), True)"


def test_arguments_that_wait_for_others_stay_too(holders: Kernel) -> None:
    holders.ok("a, b, c = at('left'), at('left'), at('right')")
    assert holders.ok("a.make_and_add(b, c, b'abc').result()").result == "(b'abc', 'Block')"
    shown = holders.ok("print(cm.actors())").stdout
    assert "3 bytes by mapping" in shown
    assert "host memory" not in shown
    assert holders.ok("counts(a, (0, 0))").result == "True"


def test_what_an_actor_is_started_with_outlives_who_made_it(holders: Kernel) -> None:
    holders.ok(
        "@cm.actor(restarts=1)\nclass Child:\n    def __init__(self, given): self.given = given\n"
        "    def get(self): return self.given"
    )
    holders.ok("a = at('left')\nc = Child.start(a.make(b'abc'))\nc.get().result()\na.stop()")
    assert holders.ok("os.kill(c._caller.info.pid, 9); c.get().result()").result == "b'abc'"


def test_tasks_get_copies(holders: Kernel) -> None:
    holders.ok("a = at('left')\nf = a.make(b'abc')")
    assert holders.ok("cm.submit(lambda x: (x, type(x)), f).result()").result == "(b'abc', bytes)"
    assert holders.ok("cm.submit(lambda: a.make(b'xyz').result()).result()").result == "b'xyz'"
    assert holders.ok("del f; counts(a, (0, 0))").result == "True"


def test_a_dead_callers_results_are_freed(holders: Kernel, tmp_path: Path) -> None:
    holders.ok("h = at('left', name='h', detached=True)\nh.count().result()")
    folder = tmp_path / "other"
    folder.mkdir()
    with started("embedded", folder) as other:
        other.ok(ACTORS)
        assert other.ok("f = cm.get_actor('h').make(b'abc'); f.result()").result == "b'abc'"
        assert holders.ok("h.count().result()").result == "(1, 0)"
        other.manager.signal_kernel(9)
        assert holders.ok("counts(h, (0, 0))").result == "True"
    holders.ok("h.stop()")  # detached, it would be there in other tests


def test_a_dead_borrower_gives_back(holders: Kernel) -> None:
    holders.ok("a, b = at('left'), at('left')\nf = a.make(b'abc')\nb.keep(f).result()\ndel f")
    assert holders.ok("counts(a, (1, 0)); os.kill(b._caller.info.pid, 9); counts(a, (0, 1))").result == "True"


def test_a_dead_actors_results_say_so(holders: Kernel) -> None:
    holders.ok("a, b = at('left', restarts=1), at('left')\nf = a.make(b'abc')\ncm.wait([f]);")
    holders.ok("os.kill(a._caller.info.pid, 9)\na.count().result()")
    told = holders.run("f.result()").error
    assert "ActorDied: The result of Holder.make is gone" in told
    assert "call it again" in told
    told = holders.run("b.read(f).result()").error
    assert "The data is gone" in told
    assert "call the method again" in told
    holders.ok("f = a.make(b'abc')\ncm.wait([f])\na.stop()")
    assert "start it again" in holders.run("f.result()").error


def test_an_actor_that_is_replayed_keeps_nothing_and_is_lent_nothing(holders: Kernel) -> None:
    holders.ok("a, b = at('left', restarts=1, replay=True), at('left')")
    assert holders.ok("f = a.make(b'abc'); f.result(), a.count().result()").result == "(b'abc', (0, 0))"
    shown = holders.run("a.read(b.make(b'abc')).result()")
    assert "replay=True cannot be given" in shown.error
    assert holders.ok("a.read(Block).exception() is not None").result == "True", "it is unharmed"


TENSORS = """
@cm.actor
class Net:
    def __init__(self):
        import blocks  # else its memory does not stay
    def make(self, path):
        import torch, weakref
        whole = torch.from_file(path, shared=True, size=4096).copy_(torch.arange(4096.0))
        self.alive = weakref.WeakSet([whole.untyped_storage()])
        tied = torch.nn.Linear(96, 32, bias=False)
        tied.weight = torch.nn.Parameter(whole[1024:].view(32, 96))
        return {"whole": whole, "rest": whole[100:], "net": tied}
    def read(self, made):
        return made["whole"][:3].tolist(), made["rest"][0].item(), made["net"].weight[0, 0].item()
    def write(self, made):
        made["whole"][101] = -1
        made["whole"][1024] = -2
        return made["rest"][1].item(), made["net"].weight[0, 0].item(), made["net"].weight.requires_grad
    def hold(self, made):
        self.weight = made["net"].weight
    def drop(self):
        del self.weight
    def count(self):
        return len(self.alive)
"""


def test_tensors_are_their_storages(holders: Kernel, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "memory").write_bytes(bytes(4 * 4096))
    holders.ok(f"{TENSORS}\na, b = [Net.start(env={{'BLOCKS': 'left'}}) for _ in range(2)]")
    holders.ok(f"f = a.make({str(tmp_path / 'memory')!r})\ncm.wait([f]);")
    assert "and 16,384 bytes on left>" in holders.ok("str(f)").result
    assert holders.ok("b.read(f).result()").result == "([0.0, 1.0, 2.0], 100.0, 1024.0)"
    assert holders.ok("b.write(f).result(), a.read(f).result()").result == (
        "((-1.0, -2.0, True), ([0.0, 1.0, 2.0], 100.0, -2.0))"
    )
    holders.ok("made = f.result()\nmade['whole'][100] = 5")
    assert holders.ok("made['rest'][0].item(), made['whole'].device.type").result == "(5.0, 'cpu')"
    assert holders.ok("a.read(f).result()").result == "([0.0, 1.0, 2.0], 100.0, -2.0)"
    holders.ok("b.hold(f).result()\ndel f")
    assert holders.ok("a.count().result(), b.drop().result()").result == "(1, None)"
    assert holders.ok("comes(lambda: a.count().result() == 0)").result == "True"
