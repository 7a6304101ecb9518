"""What is printed arrives: promptly, in order, in few messages, whoever prints it."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from worker.running import Local, in_worker

from cellmesh.scheduler.objects.logbook import read_logs
from cellmesh.scheduler.worker.logs import LogWriter


def test_a_printed_line_is_one_message() -> None:
    local = Local()
    local.cell("for i in range(3): print('a', i)")
    assert [(o.kind, o.text) for o in local.outputs] == [("stdout", f"a {i}\n") for i in range(3)]
    assert {(o.job, o.task, o.worker) for o in local.outputs} == {(1, 0, 1)}


def test_flush_passes_a_part_of_a_line_on() -> None:
    local = Local()
    local.cell("print('a', end='', flush=True)\nprint('b', end='')")
    assert [o.text for o in local.outputs] == ["a", "b"]


def test_text_without_a_newline_comes_soon_by_itself() -> None:
    local, arrived = Local(), threading.Event()
    emit = local.outputs.append
    local.runner.output._emit = lambda output: (emit(output), arrived.set())
    local.runner.namespace["arrived"] = arrived
    assert local.cell("print('working', end='')\narrived.wait(20)") is True


def test_bytes_and_text_share_the_stream() -> None:
    local = Local()
    local.cell("import sys\nsys.stdout.buffer.write('é\\n'.encode())\nsys.stdout.writelines(['b\\n'])")
    assert "".join(o.text for o in local.outputs if o.kind == "stdout") == "é\nb\n"


def test_the_streams_are_given_back() -> None:
    before = sys.stdout, sys.stderr, sys.stdin
    Local().cell("1")
    assert (sys.stdout, sys.stderr, sys.stdin) == before


def test_a_flood_takes_few_messages() -> None:
    local = Local()
    local.cell("for i in range(300_000): print(i, flush=True)")
    assert len(local.outputs) < 400
    assert local.outputs[-1].text.endswith("299999\n")


def test_everything_is_in_the_log(tmp_path: Path) -> None:
    local = Local(logs=LogWriter(tmp_path, "w1"))
    local.cell("for i in range(5000): print(i)")
    assert "".join(r.text for r in read_logs(tmp_path)) == "".join(f"{i}\n" for i in range(5000))
    (note,) = [o.text for o in local.outputs if o.kind == "note"]
    assert note == "… 4,780 lines not shown; %mesh logs --worker 1 has them …"
    local.runner.close()


def test_a_full_disk_is_one_note_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    local = Local(logs=LogWriter(tmp_path / "file", "w1"))
    assert [local.cell("print(1)\n5") for _ in range(2)] == [5, 5]
    assert sum("log stopped" in o.text for o in local.outputs) == 1


def test_c_code_and_subprocesses_are_captured_in_order() -> None:
    (shown,) = in_worker("""
        cell('''
        import ctypes, os, subprocess, sys
        print("1 python")
        os.system("echo 2 shell")
        print("3 python")
        ctypes.CDLL(None).puts(b"4 libc")
        print("5 python")
        subprocess.run(["sh", "-c", "echo 6 error >&2"])
        os.write(1, b"7 raw")
        ''')
        say(shown())
    """)
    assert "".join(text for kind, text in shown if kind == "stdout") == (
        "1 python\n2 shell\n3 python\n4 libc\n5 python\n7 raw"
    )
    assert ["stderr", "6 error\n"] in shown


def test_a_forked_childs_prints_arrive() -> None:
    (shown,) = in_worker("""
        cell('''
        import os
        pid = os.fork()
        if pid == 0:
            print("from the child")
            os._exit(0)
        os.waitpid(pid, 0);
        ''')
        say(shown())
    """)
    assert shown == [["stdout", "from the child\n"]]


def test_what_comes_after_the_task_is_not_the_next_tasks() -> None:
    (shown,) = in_worker("""
        cell("import threading\\ngo = threading.Event(); done = threading.Event()\\n"
             "threading.Thread(target=lambda: (go.wait(), print('late'), done.set())).start()")
        runner.namespace["go"].set()
        runner.namespace["done"].wait()
        cell("print('next')")
        say(shown())
    """)
    assert shown == [["stdout", "next\n"]]


def test_python_and_raw_output_read_by_the_talking_thread_never_wait_for_each_other() -> None:
    said = in_worker("""
        import select
        def talk():
            while True:
                for fd in select.select(capture.filenos(), [], [])[0]:
                    capture.pump(fd)
        threading.Thread(target=talk, daemon=True).start()
        say(cell('''
        import os
        for _ in range(20_000):
            os.write(1, b"raw\\\\n")
            print("text")
        ''').outcome)
        say("".join(text for kind, text in shown() if kind == "stdout").startswith("raw\\ntext\\n"))
    """)
    assert said == ["ok", True]


def test_a_flood_of_a_subprocess_does_not_keep_a_print_waiting() -> None:
    (said,) = in_worker("""
        say(cell('''
        import subprocess
        with subprocess.Popen(["yes"]) as flood:
            for _ in range(5):
                print("text")
            flood.kill()
        ''').outcome)
    """)
    assert said == "ok"
