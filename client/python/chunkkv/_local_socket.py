"""The server's local socket: descriptors of memory go over it. Messages as proto/chunkkv/v1/README.md has them."""

from __future__ import annotations

import array
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass

from . import errors

_MESSAGE = struct.Struct("<4sI32s")
_MAGIC = b"CKV1"
_OFFER, _MAP, _RELEASE, _GET, _ERROR = 1, 2, 3, 4, 255
MAX_BODY_BYTES = 64 << 10
_TIMEOUT_SECONDS = 30.0  # the server answers at once
_SHORTEST_SECONDS = 1e-3  # none at all would be none for the kernel

_ERRORS: dict[str, type[errors.Error]] = {
    "TOO_MANY_OFFERS": errors.ResourceExhausted, "TOKEN_NOT_FOUND": errors.NotFound,
    "UNKNOWN_KIND": errors.Unimplemented, "PEER_NOT_ALLOWED": errors.PermissionDenied}


@dataclass(frozen=True)
class Answer:
    token: bytes
    body: bytes
    descriptor: int  # -1: none


class LocalSocket:
    """One connection; what was offered and fetched over it ends with it. Thread-safe."""

    def __init__(self, path: str):
        """path: as GetCapabilities names it. Errors: FailedPrecondition (REGIONS_DISABLED), PermissionDenied,
        Unavailable (LOCAL_SOCKET: on another host, or gone)."""
        if not path:
            raise errors.FailedPrecondition("REGIONS_DISABLED", "this server has no local socket")
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._wait_at_most(_TIMEOUT_SECONDS)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            if isinstance(error, PermissionError):
                raise errors.PermissionDenied("PEER_NOT_ALLOWED", f"{path}: {error}") from error
            raise errors.Unavailable("LOCAL_SOCKET", f"{path}: {error}") from error

    @property
    def is_open(self) -> bool:
        """Whether the server is there still."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def offer(self, descriptor: int | None) -> bytes:
        """A token for RegisterRegion, of memory that has no descriptor where this is None. Errors: Unavailable,
        ResourceExhausted."""
        return self._ask(_OFFER, descriptor=descriptor).token

    def fetch(self, token: bytes, timeout: float | None = None) -> int:
        """The descriptor of an entry's memory, the caller's to close. Errors: NotFound, Unavailable."""
        return self._ask(_MAP, token, gives_descriptor=True, timeout=timeout).descriptor

    def get(self, request: bytes, timeout: float | None = None) -> Answer:
        """What a GetCacheRequest (at most MAX_BODY_BYTES) with target.map finds: a lease's token, the entry's header,
        and the descriptor, the caller's to close. Errors: any reason, for which gRPC is then asked; Unavailable."""
        return self._ask(_GET, body=request, gives_descriptor=True, timeout=timeout)

    def release(self, token: bytes) -> None:
        """The memory is not mapped any more. Not answered, and without a lock: one message is sent whole."""
        if os.getpid() != self._process:
            return  # a forked child's copy
        try:
            self._socket.send(_MESSAGE.pack(_MAGIC, _RELEASE, token))
        except OSError:
            pass  # the connection has ended, and the lease with it

    def close(self) -> None:
        self._socket.close()

    def _ask(self, kind: int, token: bytes = bytes(32), body: bytes = b"", descriptor: int | None = None,
             gives_descriptor: bool = False, timeout: float | None = None) -> Answer:
        limit = _TIMEOUT_SECONDS if timeout is None else min(timeout, _TIMEOUT_SECONDS)
        deadline = time.monotonic() + limit
        if not self._lock.acquire(timeout=limit):
            raise errors.Unavailable("LOCAL_SOCKET", f"in use by others for {limit} s")
        try:
            self._wait_at_most(deadline - time.monotonic())
            raw, received = self._exchange(_MESSAGE.pack(_MAGIC, kind, token) + body, descriptor)
        finally:
            self._lock.release()
        try:
            answer = self._checked(raw, kind)
            if bool(received) != gives_descriptor:
                raise errors.DataLoss("MALFORMED_REPLY", f"the local socket gave {len(received)} descriptors")
        except errors.Error:
            for extra in received:
                os.close(extra)
            raise
        return Answer(*answer, received[0] if received else -1)

    @staticmethod
    def _checked(raw: bytes, kind: int) -> tuple[bytes, bytes]:
        """(token, body) of an answer to a message of this kind."""
        if len(raw) < _MESSAGE.size or raw[:4] != _MAGIC:
            raise errors.Unavailable("LOCAL_SOCKET", "the server closed the local socket")
        _, answered, token = _MESSAGE.unpack_from(raw)
        if answered == _ERROR:
            reason = token.rstrip(b"\0").decode("ascii", "replace")
            raise _ERRORS.get(reason, errors.Error)(reason, "the local socket's answer")
        if answered != kind:
            raise errors.DataLoss("MALFORMED_REPLY", f"the local socket answered {answered} to {kind}")
        return token, raw[_MESSAGE.size:]

    def _wait_at_most(self, seconds: float) -> None:
        """For each message, either way."""
        microseconds = int(max(seconds, _SHORTEST_SECONDS) * 1e6)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", *divmod(microseconds, 1_000_000)))

    def _exchange(self, message: bytes, descriptor: int | None) -> tuple[bytes, list[int]]:
        rights = [] if descriptor is None else [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            try:
                self._socket.sendmsg([message], rights)
            except BrokenPipeError:
                pass  # what the server said before it closed is there to be read
            raw, controls, _, _ = self._socket.recvmsg(
                _MESSAGE.size + MAX_BODY_BYTES, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            self._socket.close()  # an answer that came later would be another question's
            raise errors.Unavailable("LOCAL_SOCKET", str(error)) from error
        received = array.array("i")
        for level, kind, data in controls:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received.frombytes(data[:len(data) - len(data) % received.itemsize])
        return raw, list(received)
