"""NVIDIA's management library (NVML), bound by ctypes: no dependency, and loaded only when it is asked.

Owns the calls and their structures. NVML looks at devices without using them: no CUDA context, no device
memory. Never decides which devices a worker may have. Read next: `devices.py`.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_char, c_int, c_uint, c_ulonglong, c_void_p
from typing import Any

_LIBRARIES = ("libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1")
_UNKNOWN = (1 << 64) - 1  # what a process uses, where the driver cannot tell

_OK, _NOT_SUPPORTED, _NOT_FOUND, _TOO_SMALL = 0, 3, 6, 7
_ROOM = 256  # processes on one device, to begin with


class NvmlError(RuntimeError):
    """The library or the driver does not answer; the message is NVIDIA's own."""


class _Memory(ctypes.Structure):
    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class _Process(ctypes.Structure):
    _fields_ = (
        ("pid", c_uint),
        ("used", c_ulonglong),
        ("gpu_instance", c_uint),
        ("compute_instance", c_uint),
    )


class Handle:
    """One device, or one MIG instance of it."""

    def __init__(self, library: "Library", pointer: c_void_p) -> None:
        self._library = library
        self._pointer = pointer

    def uuid(self) -> str:
        """ "GPU-…" or "MIG-…"."""
        return self._library.text("nvmlDeviceGetUUID", self._pointer)

    def name(self) -> str:
        """As the vendor sells it."""
        return self._library.text("nvmlDeviceGetName", self._pointer)

    def memory(self) -> tuple[int, int]:
        """Bytes in all, and bytes in use by whomever; 0 where the device has no memory of its own."""
        memory = _Memory()
        status = self._library.status("nvmlDeviceGetMemoryInfo", self._pointer, byref(memory))
        if status != _NOT_SUPPORTED:
            self._library.check(status)
        return memory.total, memory.used

    def processes(self) -> list[tuple[int, int]]:
        """(pid, bytes) of what computes on it; 0 bytes where the driver cannot tell."""
        room = _ROOM
        while True:
            count, found = c_uint(room), (_Process * room)()
            status = self._library.status(
                "nvmlDeviceGetComputeRunningProcesses_v3", self._pointer, byref(count), found
            )
            if status == _NOT_SUPPORTED:
                return []
            if status == _TOO_SMALL:
                room = count.value + _ROOM
                continue
            self._library.check(status)
            return [(p.pid, 0 if p.used == _UNKNOWN else p.used) for p in found[: count.value]]

    def instances(self) -> Iterator["Handle"]:
        """Its MIG instances; none where it is used as a whole."""
        current, pending = c_uint(), c_uint()
        status = self._library.status("nvmlDeviceGetMigMode", self._pointer, byref(current), byref(pending))
        if status == _NOT_SUPPORTED or not current.value:
            return
        self._library.check(status)
        most = c_uint()
        self._library.call("nvmlDeviceGetMaxMigDeviceCount", self._pointer, byref(most))
        for index in range(most.value):
            pointer = c_void_p()
            status = self._library.status(
                "nvmlDeviceGetMigDeviceHandleByIndex", self._pointer, c_uint(index), byref(pointer)
            )
            if status != _NOT_FOUND:
                self._library.check(status)
                yield Handle(self._library, pointer)


class Library:
    """The loaded library. Use `opened`."""

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded

    def devices(self) -> Iterator[Handle]:
        """All devices, in the order of nvidia-smi (that of the PCI bus)."""
        count = c_uint()
        self.call("nvmlDeviceGetCount_v2", byref(count))
        for index in range(count.value):
            pointer = c_void_p()
            self.call("nvmlDeviceGetHandleByIndex_v2", c_uint(index), byref(pointer))
            yield Handle(self, pointer)

    def status(self, function: str, *arguments: Any) -> int:
        """Call; the status is the caller's to judge."""
        try:
            called = getattr(self._loaded, function)
        except AttributeError:
            raise NvmlError(f"the driver is too old: it has no {function}") from None
        return int(called(*arguments))

    def check(self, status: int) -> None:
        """Raise what the status stands for, if it stands for an error."""
        if status != _OK:
            explain = self._loaded.nvmlErrorString
            explain.restype = ctypes.c_char_p
            raise NvmlError(explain(c_int(status)).decode())

    def call(self, function: str, *arguments: Any) -> None:
        """Call, and raise if it fails."""
        self.check(self.status(function, *arguments))

    def text(self, function: str, pointer: c_void_p) -> str:
        """Call one that fills in a text."""
        buffer: Any = (c_char * 96)()
        self.call(function, pointer, buffer, c_uint(len(buffer)))
        return str(buffer.value.decode())


@contextmanager
def opened() -> Iterator[Library]:
    """The library, initialised; raises NvmlError if there is none or the driver does not answer."""
    library = Library(_load())
    library.call("nvmlInit_v2")
    try:
        yield library
    finally:
        library.call("nvmlShutdown")


def _load() -> Any:
    trouble = ""
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            trouble = trouble or str(error)
    raise NvmlError(f"NVIDIA's management library cannot be loaded ({trouble})")
