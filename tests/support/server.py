"""A real Jupyter Server in a process of its own, and notebooks with real kernels on it.

Owns starting, asking and ending them. Waits by reading what the server says, never by sleeping.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client import BlockingKernelClient

TOKEN = "t0ken"
RUNNING = re.compile(r"(http://127\.0\.0\.1:\d+)/")


class Server:
    """`python -m jupyter_server`, with the token in use and XSRF protection on."""

    def __init__(
        self,
        root: Path,
        *,
        python: str = sys.executable,
        environ: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = ("--ServerApp.jpserver_extensions=cellmesh.jupyter_ext=True",),
    ) -> None:
        self.root = root
        self.log: list[str] = []
        self._notebooks: list[Notebook] = []
        self._jupyter = root.parent / f"{root.name}-jupyter"
        ours = {
            "JUPYTER_RUNTIME_DIR": str(self._jupyter / "runtime"),
            "JUPYTER_CONFIG_DIR": str(self._jupyter / "config"),
            "JUPYTER_DATA_DIR": str(self._jupyter / "data"),
            "IPYTHONDIR": str(self._jupyter / "ipython"),
        }
        command = [
            python,
            "-m",
            "jupyter_server",
            "--allow-root",
            "--no-browser",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={_free_port()}",  # port 0 would do, but older servers then tell "0"
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={TOKEN}",
            f"--ServerApp.root_dir={root}",
            *arguments,
        ]
        self.process = subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, **ours, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self._where: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        url = self._where.get(timeout=60)
        if url is None:
            raise RuntimeError("The Jupyter server did not start:\n" + "".join(self.log))
        self.url = url
        self._until_it_listens()

    def _until_it_listens(self) -> None:
        """The address is told a moment before the socket listens."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        for _ in range(3000):
            try:
                socket.create_connection((host, int(port)), timeout=60).close()
            except ConnectionRefusedError:
                try:
                    self.process.wait(0.02)
                except subprocess.TimeoutExpired:
                    continue
                raise RuntimeError("The Jupyter server ended:\n" + "".join(self.log)) from None
            return
        raise RuntimeError("The Jupyter server does not listen:\n" + "".join(self.log))

    def _read(self) -> None:
        assert self.process.stderr is not None
        told = False
        for line in self.process.stderr:
            self.log.append(line)
            match = RUNNING.search(line)
            if match and not told:
                told = True
                self._where.put(match[1])
        self._where.put(None)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One REST request with the token; raises urllib.error.HTTPError."""
        request = urllib.request.Request(
            f"{self.url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def notebook(self, path: str = "a.ipynb", *, kernel: str = "python3") -> Notebook:
        """A Jupyter session for a notebook at `path`, with a new kernel."""
        book = Notebook(self, path, kernel)
        self._notebooks.append(book)
        return book

    def stop(self) -> None:
        """As a user does: Ctrl-C twice, or SIGTERM."""
        self.process.terminate()
        self.wait()

    def kill(self) -> None:
        """kill -9, without a word to anyone."""
        self.process.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> None:
        """Until the process has ended and its last word is read."""
        self.process.wait(60)
        self._reader.join(60)
        assert self.process.stderr is not None
        self.process.stderr.close()

    @property
    def connection_files(self) -> Path:
        """Where the server's kernels leave their connection files."""
        return self._jupyter / "runtime"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        for book in self._notebooks:
            book.client.stop_channels()
            book.client.context.destroy(linger=0)
        if self.process.poll() is None:
            self.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class CellError(Exception):
    """A cell failed in the kernel."""

    def __init__(self, name: str, value: str, traceback: str) -> None:
        super().__init__(f"{name}: {value}")
        self.name = name
        self.value = value
        self.traceback = traceback


class Notebook:
    """A notebook that is open on a server."""

    def __init__(self, server: Server, path: str, kernel: str = "python3") -> None:
        self.server = server
        model = server.ask(
            "POST",
            "api/sessions",
            {"path": path, "name": path, "type": "notebook", "kernel": {"name": kernel}},
        )
        self.session = model["id"]
        self.kernel = model["kernel"]["id"]
        self.client = BlockingKernelClient()
        self.client.load_connection_file(str(server.connection_files / f"kernel-{self.kernel}.json"))
        self.client.start_channels(hb=False)  # a slow start is no death
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str, timeout: float = 60) -> str:
        """Run a cell; returns what it printed and its last expression, as text."""
        texts: list[str] = []

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                texts.append(content["text"])
            elif message["msg_type"] in ("execute_result", "display_data"):
                texts.append(content["data"].get("text/plain", "") + "\n")

        reply = self.client.execute_interactive(code, output_hook=take, timeout=timeout)["content"]
        if reply["status"] == "error":
            raise CellError(reply["ename"], reply["evalue"], "\n".join(reply["traceback"]))
        return "".join(texts)

    def interrupt(self) -> None:
        """Stop, as JupyterLab sends it."""
        self.server.ask("POST", f"api/kernels/{self.kernel}/interrupt")

    def restart(self) -> None:
        """Restart the kernel; its id stays."""
        self.server.ask("POST", f"api/kernels/{self.kernel}/restart")
        self.client.wait_for_ready(timeout=60)

    def rename(self, path: str) -> None:
        """Rename as JupyterLab does: the session learns of it by itself."""
        self.server.ask("PATCH", f"api/sessions/{self.session}", {"path": path})

    def close(self, *, shut_down: bool = True) -> None:
        """Leave; with `shut_down`, end the session and its kernel as 'shut down' does."""
        self.client.stop_channels()
        if shut_down:
            try:
                self.server.ask("DELETE", f"api/sessions/{self.session}")
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
