"""What both routed clients share around their I/O: how calls are made anew for each replica, and batches split."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from . import _channel, errors
from ._call_time import CallTime
from ._requests import GetCall, PutCall, put_call

LOST_AFTER_MS = 3_000
PING_EVERY_MS = 11_000  # servers refuse more than one in 10 s
ROUTED_OPTIONS = [
    # A silent server is lost after a ping that nobody answers, and one that comes back is found soon.
    ("grpc.keepalive_time_ms", PING_EVERY_MS), ("grpc.keepalive_timeout_ms", LOST_AFTER_MS),
    ("grpc.initial_reconnect_backoff_ms", 500), ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000)]


LOST = (errors.Unavailable, errors.Cancelled)
"""How calls end that a replica cannot be asked, or that end with it: nobody else cancels what a routed client awaits."""


class Calls:
    """Makes the same call for one replica after the other: a put's conversation is good once."""

    def __init__(self, build: Callable[..., Any], args: Any, kwargs: Any):
        self._build, self._args, self._kwargs = build, args, kwargs
        self._first: Any = build(*args, **kwargs)
        if self._first.channel is not None or getattr(self._first, "mapped", False) or \
                getattr(self._first, "into", None) is not None:
            raise errors.InvalidArgument("NOT_ROUTED", "regions, mappings and channels are of one server: use Client")
        self.routing_key: bytes = self._first.routing_key
        self.timeout: float | None = self._first.timeout
        self.is_declared: bool = build is put_call and self._first.conversation.is_declared

    def next(self, time: CallTime) -> Any:
        """For the next replica, within what is left of the time, and of a get's wait."""
        call, self._first = self._first or self._build(*self._args, **self._kwargs), None
        if isinstance(call, GetCall):
            call = call.waiting_less(time.elapsed)
        return replace(call, timeout=time.left)


def routed(build: Callable[..., PutCall | GetCall], action: Callable[..., Any]) -> Any:
    """A method of a routed client, with the signature of build: does action with Calls."""
    @functools.wraps(build)
    def calls(*args: Any, **kwargs: Any) -> Calls:
        return Calls(build, args, kwargs)

    return _channel.method(calls, action)


def groups(items: Sequence[Any], order_of: Callable[[bytes], list[str]]) -> list[list[int]]:
    """Indices of the items (with .routing) of each owner."""
    found: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        found.setdefault(next(iter(order_of(item.routing)), ""), []).append(index)
    return list(found.values())


def unpinned(replies: Sequence[Sequence[errors.Error | None] | errors.Error], count: int) -> list[errors.Error | None]:
    """Of `count` leases, what became of each: ended where one replica did that, NotFound where none has it."""
    outcomes: list[errors.Error | None] = []
    for index in range(count):
        items = [reply if isinstance(reply, errors.Error) else reply[index] for reply in replies]
        failures = [item for item in items if item is not None]
        unsure = [failure for failure in failures if not isinstance(failure, errors.NotFound)]
        outcomes.append(None if len(failures) < len(items) else (unsure + failures)[0])
    return outcomes


def of_one_server(name: str) -> Callable[..., NoReturn]:
    """A method that a routed client does not have."""
    def refuse(self: Any, *_: Any, **__: Any) -> NoReturn:
        raise errors.InvalidArgument("NOT_ROUTED", f"{name} is of one server: use Client, with one of replicas()")

    refuse.__doc__ = f"{name} is of one server. Errors: InvalidArgument (NOT_ROUTED)."
    return refuse
