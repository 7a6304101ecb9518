"""Stop at any bytecode of a caller: no call is lost, none runs twice, and the road to the actor is whole."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import faulthandler, random, signal, threading, time
from concurrent.futures import CancelledError
import cellmesh as cm

faulthandler.dump_traceback_later(100, exit=True)  # where a call hangs

@cm.actor
class Book:
    def __init__(self):
        self.ran = []
    def run(self, number):
        self.ran.append(number)
        return number
    def all(self):
        return self.ran

book = Book.start()
book.all().result()
armed = False
gate = threading.Lock()

def storm():  # one for each arming: none comes while the one before is dealt with out there
    global armed
    while True:
        time.sleep(random.random() * 0.003)
        with gate:
            if armed:
                armed = False
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

def disarm():  # afterwards none is sent, and one that was sent has been raised
    global armed
    with gate:
        armed = False
    time.sleep(0)

threading.Thread(target=storm, daemon=True).start()
stops, asked, answered = 0, 0, []
while stops < 200:
    futures = {}
    try:
        try:
            armed = True
            for _ in range(random.choice((1, 1, 1, 40))):
                asked += 1
                futures[asked] = book.run(asked)
            for future in futures.values():
                future.result()
        finally:
            disarm()
    except KeyboardInterrupt:
        stops += 1
    for number, future in futures.items():  # Stop takes some of them back; each of them is over
        try:
            assert future.result(timeout=60) == number, number
            answered.append(number)
        except CancelledError:
            pass
ran = book.all().result()
assert ran == sorted(set(ran)), "once each, in their order"
assert set(answered) <= set(ran) <= set(range(1, asked + 1)), (len(answered), len(ran), asked)
print("whole")
"""


def test_stop_tears_no_call() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=110)
    assert done.stdout == "whole\n", done.stderr
