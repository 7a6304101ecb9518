"""Hosts of the tests' own: network namespaces with a Dask scheduler or worker in each, wired by a bridge.

Owns namespaces, links and processes, all of which end with it. What it makes stays inside its namespaces: the
machine's own network is not touched. Needs root and the `ip` of iproute2; `why_not` says what is missing.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client

DEADLINE = 30.0
PORT = 8786

_NEWNET = 0x40000000
_TCP_SECONDS = "11s"
"""The least that Dask allows: so long after its cable was cut a connection is closed."""


def why_not() -> str:
    """Why there can be none here; "" if there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if shutil.which("ip") is None:
        return "needs `ip` (Debian's iproute2), which is not installed"
    name = f"cm{secrets.token_hex(4)}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode == 0:
        tried = subprocess.run(
            ["ip", "-n", name, "link", "add", "br0", "type", "bridge"], capture_output=True, text=True
        )
        subprocess.run(["ip", "netns", "del", name], check=True)
    return f"may make no network namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


class Net:
    """A scheduler, workers and a notebook, each on a host of its own.

    With `walled`, the notebook reaches the scheduler's host alone: packets to others are dropped on the way.
    """

    def __init__(self, folder: Path, *, walled: bool = False) -> None:
        self._tag = f"cm{secrets.token_hex(4)}"
        self._folder = folder
        self._stack = ExitStack()
        self._hosts = 0
        self.processes: dict[str, subprocess.Popen[Any]] = {}
        self.scheduler = f"tcp://10.201.1.1:{PORT}"
        try:
            self._switches(walled)
        except BaseException:
            self.close()
            raise

    def _switches(self, walled: bool) -> None:
        self._namespace("switch")
        for lan in (1, 2):
            _ip("-n", self._name("switch"), "link", "add", f"lan{lan}", "type", "bridge")
            _ip("-n", self._name("switch"), "link", "set", f"lan{lan}", "up")
        self._namespace("scheduler")
        self._plug("scheduler", 1, 1)
        self._plug("scheduler", 2, 1)
        self._within("scheduler", "sh", "-c", f"echo {int(not walled)} > /proc/sys/net/ipv4/ip_forward")
        self._namespace("notebook")
        self._plug("notebook", 1, 2)
        _ip("-n", self._name("notebook"), "route", "add", "default", "via", "10.201.1.1")

    def _name(self, host: str) -> str:
        return f"{self._tag}-{host}"

    def _namespace(self, host: str) -> None:
        _ip("netns", "add", self._name(host))
        self._stack.callback(_ip, "netns", "del", self._name(host))
        _ip("-n", self._name(host), "link", "set", "lo", "up")

    def _plug(self, host: str, lan: int, number: int) -> None:
        """Wire a host to one of the two networks."""
        here, there = f"lan{lan}", f"{host[:9]}{lan}"
        switch = self._name("switch")
        _ip(*f"link add {here} netns {self._name(host)} type veth peer name {there} netns {switch}".split())
        _ip("-n", switch, "link", "set", there, "master", f"lan{lan}", "up")
        _ip("-n", self._name(host), "addr", "add", f"10.201.{lan}.{number}/24", "dev", here)
        _ip("-n", self._name(host), "link", "set", here, "up")

    def _within(self, host: str, *command: str) -> None:
        subprocess.run(["ip", "netns", "exec", self._name(host), *command], check=True)

    def _start(self, host: str, module: str, *options: str) -> subprocess.Popen[Any]:
        command = ["ip", "netns", "exec", self._name(host), sys.executable, "-m", f"distributed.cli.{module}"]
        environ = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": _TCP_SECONDS}
        log = (self._folder / f"{host}.log").open("wb")
        with log:
            process = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=environ)
        self._stack.callback(_end, process)
        self.processes[host] = process
        return process

    def start_scheduler(self) -> None:
        """Once."""
        self._start("scheduler", "dask_scheduler", "--host", f"tcp://0.0.0.0:{PORT}", "--no-dashboard")

    def start_worker(self, host: str, *options: str) -> str:
        """On a host that is new; the address that it will have."""
        self._hosts += 1
        number = 10 + self._hosts
        self._namespace(host)
        self._plug(host, 2, number)
        _ip("-n", self._name(host), "route", "add", "default", "via", "10.201.2.1")
        address = f"tcp://10.201.2.{number}:9000"
        folder = self._folder / host
        folder.mkdir()
        common = ["--no-nanny", "--no-dashboard", "--name", host, "--local-directory", str(folder)]
        threads = [] if "--nthreads" in options else ["--nthreads", "1"]
        where = f"tcp://10.201.2.1:{PORT}"
        self._start(host, "dask_worker", where, "--listen-address", address, *common, *threads, *options)
        return address

    def cut(self, host: str) -> None:
        """Pull its cable: nobody is told anything."""
        _ip("-n", self._name("switch"), "link", "set", f"{host[:9]}2", "down")

    @contextmanager
    def notebook(self) -> Iterator[None]:
        """This thread, and those that it starts, are on the notebook's host."""
        with (
            open("/proc/thread-self/ns/net") as before,
            open(f"/run/netns/{self._name('notebook')}") as there,
        ):
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Of the scheduler, on the notebook's host."""
        quick = dask.config.set({"distributed.comm.timeouts.tcp": _TCP_SECONDS})
        with quick, self.notebook(), Client(self.scheduler, set_as_default=False, timeout=DEADLINE) as client:
            client.wait_for_workers(self._hosts, timeout=DEADLINE)
            yield client

    def close(self) -> None:
        """End and remove all of it."""
        self._stack.close()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr}")


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
