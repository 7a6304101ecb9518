"""Interrupts reach the attempt that is meant, and only that one. Real signals, real processes."""

from __future__ import annotations

import asyncio

from worker.running import Local, in_worker

from cellmesh.scheduler.objects import codec
from cellmesh.scheduler.objects.cells import CellCode
from cellmesh.scheduler.wire.messages import TaskWire


def test_running_code_is_interrupted_and_the_names_stay() -> None:
    said = in_worker("""
        import builtins
        started = builtins.started = threading.Event()
        threading.Thread(target=lambda: (started.wait(), interrupts.request(7)), daemon=True).start()
        report = cell("x = 1\\nimport builtins, time\\nbuiltins.started.set()\\ntime.sleep(60)\\ny = 2", 7)
        say([report.outcome, report.names, len(report.items)])
        say(loaded(cell("x", 8)))
    """)
    assert said == [["interrupted", ["builtins", "time", "x"], 0], [1]]


def test_a_flood_of_prints_is_interrupted() -> None:
    said = in_worker("""
        threading.Timer(0.3, interrupts.request, [7]).start()
        say(cell("while True: print('x')", 7).outcome)
    """)
    assert said == ["interrupted"]


def test_a_subprocess_is_interrupted_with_its_cell() -> None:
    said = in_worker("""
        threading.Timer(0.5, interrupts.request, [7]).start()
        say(cell("!echo begun; sleep 600", 7).outcome)
        say(shown())
    """)
    assert said == ["interrupted", [["stdout", "begun\n"]]]


def test_an_await_is_interrupted_and_the_loop_lives_on() -> None:
    said = in_worker("""
        threading.Timer(0.5, interrupts.request, [7]).start()
        say(cell("import asyncio\\nawait asyncio.sleep(60)", 7).outcome)
        say(loaded(cell("await asyncio.sleep(0, 'well')", 8)))
    """)
    assert said == ["interrupted", ["well"]]


def test_requests_for_other_attempts_and_late_ones_are_dropped() -> None:
    said = in_worker("""
        say([interrupts.request(7), cell("1", 7).outcome, interrupts.request(7), cell("1", 8).outcome])
        threading.Timer(0.1, interrupts.request, [7]).start()
        say(cell("import time; time.sleep(0.4)", 9).outcome)
    """)
    assert said == [[False, "ok", False, "ok"], "ok"]


def test_a_second_request_is_harmless() -> None:
    said = in_worker("""
        for delay in (0.1, 0.1, 0.12, 0.14):
            threading.Timer(delay, interrupts.request, [7]).start()
        say(cell("import time; time.sleep(5)", 7).outcome)
        time.sleep(0.2)
        say(cell("1", 8).outcome)
    """)
    assert said == ["interrupted", "ok"]


def test_a_storm_of_interrupts_never_kills_the_worker_nor_doubles_an_item() -> None:
    said = in_worker("""
        current, over = [0], threading.Event()
        def storm():
            while not over.is_set():
                interrupts.request(current[0])
        threading.Thread(target=storm, daemon=True).start()
        blobs = {"f": codec.dumps(lambda x: print(x))}
        payload = codec.dumps([(i,) for i in range(50)])
        ends, bad = {}, 0
        for attempt in range(1, 400):
            current[0] = attempt
            reports.clear()
            runner.run(Run(attempt, attempt, TaskWire(0, "map", payload, ["f"], 50), ""), blobs)
            outcomes = [r.outcome for r in reports if r.outcome]
            items = [index for r in reports for index in indices(r)]
            bad += len(outcomes) != 1 or reports[-1].outcome is None or len(items) != len(set(items))
            bad += outcomes == ["ok"] and len(items) != 50
            ends[outcomes[0]] = ends.get(outcomes[0], 0) + 1
        over.set()
        say([bad, "interrupted" in ends, "error" in ends])
        current[0] = 0
        say(cell("1", 1000).outcome)
    """)
    assert said == [[0, True, False], "ok"]


def test_a_request_that_overtakes_its_attempt_is_kept_for_it_alone() -> None:
    said = in_worker("""
        for attempt in (7, 8):
            interrupts.expect(attempt)
        say([interrupts.request(8), interrupts.request(8)])
        say([cell("x = 1", 7).outcome, cell("x = 2", 8).outcome, cell("x", 9).outcome])
        say(loaded(reports[-1]))
        say([interrupts.request(8), cell("1", 8).outcome])
        say([len(interrupts._early), len(interrupts._expected)])
    """)
    assert said == [[True, True], ["ok", "interrupted", "ok"], [1], [False, "ok"], [0, 0]]


def test_a_helper_thread_that_prints_does_not_take_the_interrupt() -> None:
    said = in_worker("""
        def helper():
            interrupts.pending = True  # as when the signal lands in our own frames
            try:
                print("helper")
                took.append(False)
            except KeyboardInterrupt:
                took.append(True)
        took = []
        runner.namespace["helper"] = helper
        report = cell('''
        import threading
        thread = threading.Thread(target=helper)
        thread.start()
        thread.join()
        print("main")
        ''', 7)
        say([took, report.outcome])
    """)
    assert said == [[[False], "interrupted"]]


def test_what_we_send_through_zmq_is_whole() -> None:
    said = in_worker("""
        import signal, zmq
        ours = {"__name__": "cellmesh.scheduler.wire.dealer", "interrupts": interrupts, "signal": signal,
                "socket": zmq.Context().socket(zmq.DEALER), "went": []}
        exec('''
        def post():
            interrupts.shielded = True  # while the signals begin to come
            interrupts.request(7)
            interrupts.shielded = False
            try:
                socket.send_serialized(signal.SIGINT, signal.raise_signal)
            except TypeError:  # None, which that returns, is no message: it has come as far as to send
                went.append("whole")
        ''', ours)
        runner.namespace["post"] = ours["post"]
        say(cell("post()\\nimport time\\ntime.sleep(60)", 7).outcome)
        say(ours["went"])
    """)
    assert said == ["interrupted", ["whole"]]


def test_users_own_zmq_is_interrupted() -> None:
    said = in_worker("""
        import zmq
        threading.Timer(0.5, interrupts.request, [7]).start()
        say(cell("import zmq\\nzmq.Context().socket(zmq.PULL).poll(60_000)", 7).outcome)
        os._exit(0)
    """)
    assert said == ["interrupted"]


def test_the_codes_own_keyboard_interrupt_is_an_ordinary_failure() -> None:
    said = in_worker("""
        import pickle
        report = cell("def f():\\n    raise KeyboardInterrupt('mine')\\nf()")
        (failure,) = loaded(report)
        error = pickle.loads(failure.exception)
        say([report.outcome, type(error).__name__, error.args, [frame.lineno for frame in failure.frames]])
        say(cell("1").outcome)
    """)
    assert said == [["error", "KeyboardInterrupt", ["mine"], [4, 3]], "ok"]


def test_a_cell_that_awaits_beside_the_notebooks_own_loop_is_interrupted() -> None:
    local = Local()
    local.runner.namespace["stop"] = lambda: local.runner.interrupts.request(1)
    code = CellCode("import asyncio\nstop()\nprint('x')\nawait asyncio.sleep(60)", "<cell>", 1, ())

    async def notebook() -> None:
        local.run(TaskWire(0, "cell", codec.dumps(code)), {})

    asyncio.run(notebook())
    assert local.reports[-1].outcome == "interrupted"
