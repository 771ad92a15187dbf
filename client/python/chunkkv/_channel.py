"""What both clients share around their I/O: channel options, the bulk methods' names, and how methods come from the
functions that build requests."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from .v1 import kv_cache_service_pb2

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")

_SERVICE = kv_cache_service_pb2.DESCRIPTOR.services_by_name["KvCacheService"].full_name
GET_CACHE, PUT_CACHE = f"/{_SERVICE}/GetCache", f"/{_SERVICE}/PutCache"
_SENT_BYTES = 8 << 20  # what the server takes
_RECEIVED_BYTES = 128 << 20  # parts are small; a header lists the kept positions of every group, 2**24 at most


def channel_options(options: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The client's options, those of `options` in their place. Each client has a connection of its own: one is about one
    core's work."""
    return list({"grpc.max_receive_message_length": _RECEIVED_BYTES, "grpc.max_send_message_length": _SENT_BYTES,
                 "grpc.use_local_subchannel_pool": 1,
                 # Where a server ends before a call was sent, gRPC would send it again: 1.85 then starts a stream's next
                 # receive on a call that is over, and it is never completed, in spite of the timeout.
                 "grpc.enable_retries": 0,
                 # A call whose server has vanished ends UNAVAILABLE.
                 "grpc.keepalive_time_ms": 30_000, "grpc.keepalive_timeout_ms": 20_000,
                 "grpc.http2.max_pings_without_data": 0, **dict(options)}.items())


def method(build: Callable[P, R], action: Callable[[S, R], T]) -> Callable[Concatenate[S, P], T]:
    """A method of a client: takes what `build` takes, and does `action` with what it made."""
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return action(self, build(*args, **kwargs))

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.signature(build)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[own, *signature.parameters.values()], return_annotation=inspect.Signature.empty)
    call.__doc__ = "\n\n".join(text for text in (inspect.getdoc(action), inspect.getdoc(build)) if text)
    return call
