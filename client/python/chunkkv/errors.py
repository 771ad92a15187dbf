"""What goes wrong: one class for each gRPC status, with the server's machine-readable reason."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import grpc

REASON_KEY = "chunkkv-reason"
RETRY_KEY = "chunkkv-retry-ms"


class Error(Exception):
    """A call that failed.

    reason: upper snake case, for programs (`BUDGET_BELOW_WINDOW`); empty where nobody gave one.
    message: for people. retry_after: seconds after which a retry may succeed, where the server knows.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(self, reason: str = "", message: str = "", retry_after: float | None = None):
        super().__init__(": ".join(part for part in (reason, message) if part) or type(self).code.name)
        self.reason, self.message, self.retry_after = reason, message, retry_after


class Cancelled(Error):
    code = grpc.StatusCode.CANCELLED


class InvalidArgument(Error, ValueError):
    """Wrong whatever the state; raised by the client itself too, before anything is sent."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceeded(Error, TimeoutError):
    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFound(Error, LookupError):
    """A miss: absent, expired, another model's, or of a variant that was not accepted."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(Error):
    code = grpc.StatusCode.ALREADY_EXISTS


class PermissionDenied(Error):
    code = grpc.StatusCode.PERMISSION_DENIED


class ResourceExhausted(Error):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPrecondition(Error):
    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(Error):
    code = grpc.StatusCode.ABORTED


class OutOfRange(Error, IndexError):
    code = grpc.StatusCode.OUT_OF_RANGE


class Unimplemented(Error, NotImplementedError):
    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(Error):
    code = grpc.StatusCode.INTERNAL


class Unavailable(Error, ConnectionError):
    code = grpc.StatusCode.UNAVAILABLE


class DataLoss(Error):
    """Bytes are damaged: stored ones, as the server says, or received ones, as the client found."""

    code = grpc.StatusCode.DATA_LOSS


class Unauthenticated(Error):
    code = grpc.StatusCode.UNAUTHENTICATED


_BY_CODE: dict[Any, type[Error]] = {kind.code: kind for kind in Error.__subclasses__()}
_BY_NUMBER: dict[int, type[Error]] = {code.value[0]: kind for code, kind in _BY_CODE.items()}


def from_status(code: int, reason: str, message: str) -> Error:
    """The error of one item of a batch; code as google.rpc.Code."""
    return _BY_NUMBER.get(code, Error)(reason, message)


def from_call(code: Any, details: str | None, trailing_metadata: Any) -> Error:
    """The error that a call ended with."""
    trailer = {key: value for key, value in trailing_metadata or ()}
    reason, retry_ms = trailer.get(REASON_KEY, ""), trailer.get(RETRY_KEY, "")
    if isinstance(reason, bytes):
        reason = reason.decode("ascii", "replace")
    retry_after = int(retry_ms) / 1e3 if re.fullmatch(r"\d{1,15}", str(retry_ms)) else None
    message = details or ""
    if reason and message.startswith(f"{reason}: "):
        message = message[len(reason) + 2:]
    return _BY_CODE.get(code, Error)(reason, message, retry_after)
