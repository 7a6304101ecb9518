"""The template: an interpreter of the user's with our modules imported, from which workers are forked.

Owns the fork. Stays single-threaded and never runs user code, so that a fork is safe and takes a few
milliseconds. Workers are forked twice: the middle process ends at once, so that they become children of
the nursery, which reaps them. Read next: `main.py`.
"""

import os
import socket
import sys

from cellmesh.scheduler.wire import framing, link, system
from cellmesh.scheduler.wire.control import Channel, Fork, Forked, ToTemplate
from cellmesh.scheduler.wire.direct import ToHost
from cellmesh.scheduler.wire.messages import ToWorker

from . import main as worker_main, modules
from .shell import prepare


def main(descriptor: str) -> None:
    """Entry point of the template's process: fork on request until the nursery is gone."""
    nursery = os.getppid()
    system.die_with_parent(nursery)
    system.name_process("cellmesh-templ")
    channel: Channel[Fork] = Channel(socket.socket(fileno=int(descriptor)), ToTemplate)
    _warm()
    while True:
        try:
            orders = channel.receive(wait=True)
        except EOFError:
            return
        for order in orders:
            channel.send(Forked(order.spec.worker, _fork(order, channel, nursery)))


def _warm() -> None:
    """Make what all workers would make alike."""
    prepare()
    modules.installed()
    link.decoder(ToWorker)
    framing.decoder(ToHost)


def _fork(order: Fork, channel: Channel[Fork], nursery: int) -> int:
    """Fork a worker that is the nursery's child; returns its pid."""
    told, tell = os.pipe()
    go, orphaned = os.pipe()  # closes when the middle process has ended and the nursery has adopted
    middle = os.fork()
    if middle == 0:
        worker = os.fork()
        if worker == 0:
            os.close(orphaned)
            os.close(told)
            os.close(tell)
            channel.close()
            _become_worker(order, go, nursery)
        os.write(tell, worker.to_bytes(8, "little"))
        os._exit(0)
    os.close(tell)
    os.close(go)
    pid = int.from_bytes(os.read(told, 8), "little")
    os.close(told)
    os.waitpid(middle, 0)
    os.close(orphaned)
    return pid


def _become_worker(order: Fork, go: int, nursery: int) -> None:
    code = 1
    try:
        os.read(go, 1)
        os.close(go)
        os.setsid()
        worker_main.run(order.spec, parent=nursery if system.LINUX else None)
        code = 0
    except BaseException:  # noqa: BLE001 - a forked child must never return into the template
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
