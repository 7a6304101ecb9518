"""What callers see when connections to a living actor break, in every way they can."""

from __future__ import annotations

import pytest

from .conftest import Kernel

ACTORS = """
%load_ext cellmesh
import cellmesh as cm, os, time, gc, signal

@cm.actor(threads=1)
class Talker:
    def __init__(self):
        self.n = 0
    def add(self):
        self.n += 1
        return self.n
    def slow(self, seconds):
        time.sleep(seconds)
        return self.add()
    def count(self, n, pause=0):
        for i in range(n):
            time.sleep(pause)
            yield i
    def babble(self):
        "Says something that is no message, to all callers, and waits until they have come again."
        from cellmesh.scheduler.worker.host.callers import Caller
        torn = [(each, each.road) for each in gc.get_objects() if type(each) is Caller and each.road]
        for caller, road in torn:
            road._socket.send((5).to_bytes(4, "little") + b"hello")
        while any(caller.road in (road, None) for caller, road in torn):
            time.sleep(0.01)
        return self.add()
    def shut(self):
        "Hangs up on everybody from now on."
        from cellmesh.scheduler.worker.host.hearing import Hearing
        def greeted(hearing, road, greet):
            raise EOFError
        Hearing._greeted = greeted
        return self.add()

def tear(h):
    h._caller._reach._road.hang_up()
"""

only_processes = pytest.mark.parametrize("engine_name", ["embedded"], indirect=True)


@pytest.fixture
def talker(kernel: Kernel) -> Kernel:
    kernel.ok(ACTORS)
    kernel.ok("h = Talker.start()\nassert h.add().result() == 1")
    return kernel


@only_processes
def test_calls_go_on_when_the_connection_is_torn(talker: Kernel) -> None:
    talker.ok("f = h.slow(0.5)\nfs = [h.add() for _ in range(100)]\ntear(h)")
    assert talker.ok("f.result(), [each.result() for each in fs] == [*range(3, 103)]").result == "(2, True)"
    talker.ok("""
for i in range(103, 203):
    f = h.add()
    if i % 10 == 0: tear(h)
    try:
        value = f.result()
    except cm.ActorDied as error:
        assert "Whether the call had an effect is not known" in str(error)
    else:
        assert value == i
""")
    assert talker.ok("h.add().result()").result == "203"  # each ran once
    assert talker.ok("tear(h)\nh.add().result()").result == "204"  # with nothing under way


@only_processes
def test_a_stream_whose_connection_is_torn_fails_and_the_actor_goes_on(talker: Kernel) -> None:
    talker.ok("s = h.count(10_000, 0.01)\nassert next(s) == 0\ntear(h)")
    assert "connection to Talker broke" in talker.run("list(s)").error
    assert talker.ok("h.add().result()").result == "2"


@only_processes
def test_what_is_no_message_ends_one_connection_and_is_told(talker: Kernel) -> None:
    talker.ok("other = Talker.start()\nassert other.add().result() == 1")
    shown = talker.ok("f = h.babble()\nh.add().result(), f.result()")
    assert shown.result == "(3, 2)"
    assert "the connection to Talker broke (" in shown.stdout + shown.stderr
    assert talker.ok("[other.add().result() for _ in range(3)]").result == "[2, 3, 4]"
    # Read by the thread that listens, for nobody waits here.
    talker.ok("fs = [h.babble(), *(other.add() for _ in range(10))]")
    talker.ok("while not all(f.done() for f in fs): time.sleep(0.01)")
    assert talker.ok("h.add().result(), other.add().result()").result == "(5, 15)"


@only_processes
def test_a_process_that_hangs_up_on_everybody_is_not_asked_for_ever(talker: Kernel) -> None:
    talker.ok("assert h.shut().result() == 2\ntear(h)")
    for _ in range(2):
        error = talker.run("h.add().result()").error
        assert "Talker cannot be called: its process lives, but every connection to it breaks" in error
    talker.ok("h.stop()")
    assert "was stopped" in talker.run("h.add().result()").error


@only_processes
def test_what_ran_as_its_actor_was_replaced_says_so(talker: Kernel) -> None:
    talker.ok("""
for _ in range(8):
    d = Talker.start(name="d", replace=True)
    f, g = d.slow(60), d.add()
    Talker.start(name="d", replace=True)
    for each in (f, g):
        try:
            each.result(60)
        except cm.ActorDied as error:
            assert "was replaced" in str(error), error
        else:
            raise AssertionError("it has a result")
""")
    assert talker.ok("cm.get_actor('d').add().result()").result == "1"


@only_processes
def test_another_protocol_is_named(talker: Kernel) -> None:
    talker.ok("from cellmesh.scheduler.wire import direct\nours, direct.DIRECT = direct.DIRECT, 99")
    talker.ok("g = Talker.start()")
    for _ in range(2):
        error = talker.run("g.add().result()").error
        assert error.startswith("VersionMismatchError: The process of Talker was started by another cellmesh")
    talker.ok("direct.DIRECT = ours")
    assert talker.ok("h.add().result()").result == "2"


@only_processes
def test_stop_in_a_callback_of_a_cancelled_call_leaves_it_not_running(talker: Kernel) -> None:
    talker.ok("f = h.slow(60)\nf.add_done_callback(lambda f: signal.raise_signal(signal.SIGINT))")
    assert talker.run("f.cancel()").error.startswith("KeyboardInterrupt")
    assert talker.ok("h.add().result(30)").result == "2"


@only_processes
def test_answers_come_while_nobody_waits_after_quick_calls(talker: Kernel) -> None:
    talker.ok("for _ in range(200): h.add().result()")  # the notebook's thread reads, and keeps the road
    talker.ok("import threading\ncame = threading.Event()\nh.add().add_done_callback(lambda f: came.set())")
    talker.ok("assert came.wait(30)")
    talker.ok("for _ in range(200): h.add().result()\nf = h.add()\nwhile not f.done(): time.sleep(0.001)")
    talker.ok("for _ in range(200): h.add().result()\nassert await h.add() == 604")
    talker.ok("""
for _ in range(200): h.add().result()
values = []
threads = [threading.Thread(target=lambda: values.append(h.add().result())) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert sorted(values) == [*range(805, 825)]
""")
