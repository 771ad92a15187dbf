"""A DNS name, followed: its addresses, asked for in a thread of its own, so that no call waits for a slow resolver."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from ._timing import Timing

Resolver = Callable[[str], Sequence[str]]
"""All addresses of a name, "host:port", as "address:port". Raises where there are none."""

_LONGEST_SLEEP = 3600.0


def resolve_with_system(name: str) -> list[str]:
    """As Resolver, by the system's."""
    host, _, port = name.rpartition(":")
    found = {str(item[4][0]) for item in socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)}
    return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in sorted(found)]


class FollowedName:
    """Thread-safe. Asks when its answer is old; after close, which waits for nobody, not again."""

    def __init__(self, name: str, resolve: Resolver, timing: Timing, clock: Callable[[], float]):
        self._name, self._resolve, self._timing, self._clock = name, resolve, timing, clock
        self._changed = threading.Condition()
        self._addresses: Sequence[str] = ()
        self._failure = "is being resolved"  # of the last resolution; empty: it found addresses
        self._is_asking = self._is_doubted = self._is_closed = False
        self._ended_at = float("-inf")  # the last resolution
        self._answer: Future[None] = Future()  # of the one that runs, else of the next
        threading.Thread(target=self._follow, name=f"chunkkv-resolve-{name}", daemon=True).start()

    @property
    def addresses(self) -> Sequence[str]:
        """As last found: one that fails leaves them. Has them asked for again where they are old."""
        with self._changed:
            if not self._is_asking and self._is_due:
                self._changed.notify()
            return self._addresses

    @property
    def failure(self) -> str:
        """Why no addresses are known."""
        with self._changed:
            return "" if self._addresses else f"{self._name}: {self._failure}"

    @property
    def settling(self) -> Future[None] | None:
        """The end of the first resolution; None: it was long ago."""
        with self._changed:
            return self._answer if self._ended_at == float("-inf") and not self._is_closed else None

    @property
    def coming(self) -> Future[None] | None:
        """The end of the resolution that runs or is due; None: neither is."""
        with self._changed:
            return self._answer if (self._is_asking or self._is_due) and not self._is_closed else None

    def doubt(self) -> None:
        """An address failed: the name is to be asked again soon."""
        with self._changed:
            self._is_doubted = True
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            if not self._is_closed:
                self._is_closed = True
                self._changed.notify()
                self._answer.set_result(None)

    @property
    def _due_at(self) -> float:
        is_good = not self._is_doubted and not self._failure
        return self._ended_at + (self._timing.resolve_every if is_good else self._timing.pass_over)

    @property
    def _is_due(self) -> bool:
        return self._clock() >= self._due_at

    def _follow(self) -> None:
        while self._begin():
            try:
                found, failure = self._resolve(self._name), "has no addresses"
            except Exception as error:  # whatever a resolver of the caller's own raises
                found, failure = (), str(error)
            self._end(found, "" if found else failure)

    def _begin(self) -> bool:
        """Once a resolution is due; False: closed."""
        with self._changed:
            while not self._is_closed and not self._is_due:
                self._changed.wait(min(self._due_at - self._clock(), _LONGEST_SLEEP))
            self._is_asking, self._is_doubted = True, False
            return not self._is_closed

    def _end(self, found: Sequence[str], failure: str) -> None:
        with self._changed:
            if self._is_closed:
                return
            self._addresses, self._failure = found or self._addresses, failure
            self._is_asking, self._ended_at = False, self._clock()
            answered, self._answer = self._answer, Future()
        answered.set_result(None)
