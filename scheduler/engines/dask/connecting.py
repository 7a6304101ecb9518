"""From what a person has of a cluster (an address, a client, itself) to an engine on it.

Owns the checks: does anybody answer there, is the way encrypted, are there workers, do all have the same
versions. Each of them is bounded in time. Never starts a cluster. Read next: `engine.py`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from distributed import Client
from distributed.comm import connect
from distributed.security import Security

from cellmesh.scheduler.engines.contract import EngineError, VersionMismatchError
from cellmesh.scheduler.engines.dask.worker import copies

from .engine import DaskEngine

ANSWER_SECONDS = 10.0
WORKER_SECONDS = 10.0
_CONNECT_SECONDS = 5.0

_PACKAGES = ("dask", "distributed", "cellmesh")
_ENCRYPTED = ("tls", "wss", "inproc", "gateway")


def engine_on(
    where: Any, *, insecure: bool = False, security: Any = None, checkpoints: str = ""
) -> DaskEngine:
    """The engine on the cluster that is meant: an address, a `distributed.Client`, or a cluster object.

        engine_on("tls://scheduler:8786", security=Security(tls_ca_file=..., require_encryption=True, ...))

    `checkpoints` is a folder or URL that all hosts reach: those of actors are kept there.
    Raises EngineError if it cannot be used, and says why and what to do.
    """
    if checkpoints:
        copies.check(checkpoints)
    if isinstance(where, str):
        _check_encryption(where, insecure=insecure)
    client, cluster, ours = _client(where, security)
    try:
        _check_encryption(client.scheduler.address, insecure=insecure)
        _check_workers(client, cluster)
        _check_versions(client)
        return DaskEngine(client, cluster, owned=ours, checkpoints=checkpoints)
    except BaseException:
        if ours:
            client.close()
        raise


def _client(where: Any, security: Any) -> tuple[Client, Any, bool]:
    """A client, the cluster that it belongs to if that is known, and whether the client is ours to close."""
    if isinstance(where, Client):
        if where.asynchronous:
            raise EngineError(
                "cm.connect needs a client that is not asynchronous: Client(..., asynchronous=False)."
            )
        if where.status != "running":
            raise EngineError("This Dask client is closed. Make a new one: Client(address).")
        return where, where.cluster, False
    if isinstance(where, str):
        return _connected(where, security), None, True
    if hasattr(where, "scheduler_address"):
        try:
            return Client(where, set_as_default=False), where, True
        except (OSError, RuntimeError) as error:
            raise EngineError(f"This Dask cluster cannot be used ({_reason(error)}).") from None
    if hasattr(where, "get_client"):
        return where.get_client(), where, True
    raise EngineError(
        f'cm.connect("dask", {where!r}): to what? An address ("tls://host:8786"), a distributed.Client or a '
        "cluster (LocalCluster(), SLURMCluster(...), ...)."
    )


def _connected(address: str, security: Any) -> Client:
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "tcp", address
    if not rest or scheme not in ("tcp", "tls", "ws", "wss", "inproc", "ucx", "ucxx"):
        raise EngineError(f'"{address}" is no address of a Dask scheduler, which are like tls://host:8786.')
    found = f"{scheme}://{rest}"
    known = Security(**security) if isinstance(security, dict) else security or Security()
    if scheme in ("tls", "wss") and known.get_connection_args("client").get("ssl_context") is None:
        raise EngineError(
            f"{scheme}:// needs security=Security(...): from distributed import Security; "
            f'cm.connect("dask", "{found}", security=Security(tls_ca_file="ca.pem", '
            'tls_client_cert="me.pem", tls_client_key="me-key.pem", require_encryption=True)).'
        )
    try:
        with ThreadPoolExecutor(1) as pool:  # a notebook's own thread has a loop that runs
            pool.submit(asyncio.run, _asked(found, known)).result()
    except MemoryError:  # what it says is taken for a length
        raise EngineError(
            f"What answers at {found} is no Dask scheduler: another server, or tls for tcp."
        ) from None
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        raise EngineError(
            f"No Dask scheduler answers at {found} ({_reason(error)}). Is it running, is the address that of "
            "the scheduler (not of its dashboard), and does it speak the same protocol (tcp or tls)?"
        ) from None
    return Client(found, timeout=ANSWER_SECONDS, security=known, set_as_default=False)


async def _asked(address: str, security: Security) -> None:
    """Whether a scheduler is there. A `Client` that finds none hangs for long when it is dropped."""
    # Dask tries again where nobody listens, and then says why; what never greets it waits for.
    connecting = connect(address, timeout=_CONNECT_SECONDS, **security.get_connection_args("client"))
    comm = await asyncio.wait_for(connecting, ANSWER_SECONDS)
    try:
        await comm.write({"op": "identity"})
        answer = await asyncio.wait_for(comm.read(), ANSWER_SECONDS)
        if not isinstance(answer, dict) or answer.get("type") != "Scheduler":
            raise ValueError("it is no scheduler")
    finally:
        comm.abort()


def _reason(error: BaseException) -> str:
    """The first cause, in short."""
    while error.__cause__ is not None and not isinstance(error.__cause__, asyncio.CancelledError):
        error = error.__cause__
    return str(error) or "no answer"


def _check_encryption(address: str, *, insecure: bool) -> None:
    scheme, _, rest = address.rpartition("://")
    host = (rest.rpartition(":")[0] or rest).strip("[]")
    if insecure or scheme in _ENCRYPTED or _is_loopback(host):
        return
    raise EngineError(
        f"The way to {address} is not encrypted: whoever can listen reads your data, and whoever can write "
        "runs code as you. Use a tls:// address with security=Security(...), or say that the network is "
        'yours: cm.connect("dask", ..., insecure=True).'
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(each[4][0]).is_loopback for each in found)


def _check_workers(client: Client, cluster: Any) -> None:
    if getattr(cluster, "_adaptive", None) is not None:
        return  # they come with the work
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except (TimeoutError, OSError):
        raise EngineError(
            f"The Dask cluster at {client.scheduler.address} has no workers, and none came within "
            f"{WORKER_SECONDS:g} s. Start some: dask worker {client.scheduler.address}, or cluster.scale(2)."
        ) from None


def _check_versions(client: Client) -> None:
    """Python, Dask and cellmesh must be the same in the notebook, in the scheduler and in all workers."""
    known = client.get_versions(packages=["cellmesh"])
    rows = [("this notebook", _versions(known["client"])), ("scheduler", _versions(known["scheduler"]))]
    rows += [(f"worker {address}", _versions(about)) for address, about in sorted(known["workers"].items())]
    ours = rows[0][1]
    if rows[1][1]["cellmesh"] is None:
        raise VersionMismatchError(
            "cellmesh is not installed where the scheduler runs: it keeps there what a session has while its "
            f"kernel is away. Install it there (pip install cellmesh=={ours['cellmesh']}), and start the "
            "scheduler again."
        )
    lacking = [who for who, versions in rows[2:] if versions["cellmesh"] is None]
    if lacking:
        raise VersionMismatchError(
            f"cellmesh is not installed where {_some(lacking)} {'run' if len(lacking) > 1 else 'runs'}. "
            f"Install it there (pip install cellmesh=={ours['cellmesh']}), or have Dask do so:\n"
            "    from distributed import PipInstall\n"
            f"    client.register_plugin(PipInstall(['cellmesh=={ours['cellmesh']}'], restart_workers=True))"
        )
    needed = {who: versions for who, versions in rows if versions != ours}
    if needed:
        shown = {"this notebook": ours, **needed}
        raise VersionMismatchError(
            "Notebook and cluster have different versions, and would not understand each other:\n"
            + _table(shown)
            + "\nInstall the same ones there and here."
        )


def _versions(about: dict[str, Any]) -> dict[str, str | None]:
    python = ".".join(about["host"]["python"].split(".")[:2])
    return {"python": python, **{name: about["packages"].get(name) for name in _PACKAGES}}


def _table(rows: dict[str, dict[str, str | None]]) -> str:
    names = ("python", *_PACKAGES)
    lines = [
        ["", *names],
        *([who, *(versions[name] or "-" for name in names)] for who, versions in rows.items()),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names) + 1)]
    return "\n".join(
        "    " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _some(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - 3} more" if len(known) > 3 else ""
    return ", ".join(known[:3]) + more
