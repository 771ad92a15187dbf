"""The calls of NCCL that a channel makes, by ctypes. Communicators do not block: what begins something returns at once,
and is_idle says when it is done."""

from __future__ import annotations

import ctypes
from typing import Any

from . import errors

LIBRARY = "libnccl.so.2"
_SUCCESS, _SYSTEM_ERROR, _REMOTE_ERROR, _IN_PROGRESS = 0, 2, 6, 7
_UINT8 = 1
_UNDEFINED = -2**31


class _UniqueId(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint8 * 128)]


class _Config(ctypes.Structure):
    """ncclConfig_t as 2.14 had it, which every later one takes."""

    _fields_ = [("size", ctypes.c_size_t), ("magic", ctypes.c_uint), ("version", ctypes.c_uint),
                ("blocking", ctypes.c_int), ("cga_cluster_size", ctypes.c_int)]


class Nccl:
    """The library at a path; by default the one that torch has brought with it, or the system's.
    Errors: Unavailable (NCCL_NOT_FOUND)."""

    def __init__(self, path: str | None):
        try:
            self._library = ctypes.CDLL(path or LIBRARY)
            self._library.ncclGetErrorString.restype = ctypes.c_char_p
            self._library.ncclGetLastError.restype = ctypes.c_char_p
            self._library.ncclCommInitRankConfig  # noqa: B018  (an old one lacks it)
        except (OSError, AttributeError) as error:
            raise errors.Unavailable("NCCL_NOT_FOUND", str(error)) from error

    @property
    def version(self) -> int:
        """As ncclGetVersion: 22707 is 2.27.7."""
        version = ctypes.c_int()
        self.call("ncclGetVersion", ctypes.byref(version))
        return version.value

    def call(self, name: str, *arguments: Any) -> None:
        """Errors: Unavailable (PEER_LOST, NCCL_ERROR)."""
        self.check(name, getattr(self._library, name)(*arguments))

    def check(self, what: str, result: int) -> None:
        """As call."""
        if result in (_SUCCESS, _IN_PROGRESS):
            return
        reason = "PEER_LOST" if result in (_SYSTEM_ERROR, _REMOTE_ERROR) else "NCCL_ERROR"
        said = [self._library.ncclGetErrorString(result), self._library.ncclGetLastError(None)]
        raise errors.Unavailable(reason, ": ".join([what, *(text.decode(errors="replace") for text in said if text)]))


class Communicator:
    """Rank 1 of two. Of one thread, whose current device it is on; after an error it is good for abort only."""

    def __init__(self, nccl: Nccl, unique_id: bytes):
        self._nccl, self._comm = nccl, ctypes.c_void_p()
        config = _Config(ctypes.sizeof(_Config), 0xcafebeef, 21400, 0, _UNDEFINED)
        nccl.call("ncclCommInitRankConfig", ctypes.byref(self._comm), 2, _UniqueId.from_buffer_copy(unique_id), 1,
                  ctypes.byref(config))

    def is_idle(self) -> bool:
        """Whether something may be asked of it."""
        state = ctypes.c_int()
        self._nccl.call("ncclCommGetAsyncError", self._comm, ctypes.byref(state))
        self._nccl.check("the communicator", state.value)
        return state.value == _SUCCESS

    def send(self, address: int, size_bytes: int, stream: int) -> None:
        """Starts on the stream, where it is complete when the stream has passed it."""
        self._start("ncclSend", address, size_bytes, stream)

    def receive(self, address: int, size_bytes: int, stream: int) -> None:
        """As send."""
        self._start("ncclRecv", address, size_bytes, stream)

    def finalize(self) -> None:
        """Begins an orderly end."""
        self._nccl.call("ncclCommFinalize", self._comm)

    def destroy(self) -> None:
        """Once finalize is done."""
        self._nccl.call("ncclCommDestroy", self._comm)

    def abort(self) -> None:
        """At any time. What is on the stream ends soon, in part done."""
        self._nccl.call("ncclCommAbort", self._comm)

    def _start(self, name: str, address: int, size_bytes: int, stream: int) -> None:
        self._nccl.call(name, ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), _UINT8, 0, self._comm,
                        ctypes.c_void_p(stream))
