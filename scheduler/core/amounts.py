"""How much of the machine a task takes, as exact numbers and as words.

Owns the units: cores and GPUs are counted in thousandths, memory in bytes, because sums of floats drift and
a device must never be promised for more than one. Never keeps count of anything: `state.py` does.
Read next: `state.py`.
"""

from .events import ONE, Pool, TaskSpec


def plural(count: int, noun: str) -> str:
    """`1 GPU`, `2 GPUs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some(amount: int, noun: str) -> str:
    """An amount in thousandths: `1 GPU`, `0.5 GPU`, `2 cores`."""
    return f"{amount / ONE:g} {noun}" if amount <= ONE else f"{amount / ONE:g} {noun}s"


def gigabytes(size: int) -> str:
    """`24.0 GB`; what is smaller than a tenth of one in MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:g} MB"


def too_much(spec: TaskSpec, cpus: int, memory: int, devices: int, what: str = "a task") -> str:
    """Why a machine with so much can never run this; empty if it can."""
    if not (0 <= spec.cpus <= cpus):
        if spec.cpus < 0:
            return f"cpus={spec.cpus / ONE:g}: {what} cannot take less than nothing"
        return f"needs {some(spec.cpus, 'core')}; the pool has {cpus / ONE:g}"
    if not (0 <= spec.memory <= memory):
        if spec.memory < 0:
            return f"memory={spec.memory}: {what} cannot take less than nothing"
        return f"needs {gigabytes(spec.memory)} of memory; this machine has {gigabytes(memory)}"
    if spec.gpus and spec.pool is Pool.TASK:
        if spec.gpus < 0 or (spec.gpus > ONE and spec.gpus % ONE):
            part = f"gpus={spec.gpus / ONE:g}"
            return f"{part}: {what} takes a part of one GPU (like 0.5) or whole ones (1, 2, ...)"
        if spec.gpus > devices * ONE:
            return f"needs {some(spec.gpus, 'GPU')}; this machine has {devices}"
    return ""
