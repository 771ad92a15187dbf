"""The replicas of a routed client: who there is, who failed lately, and a client of each. Does no I/O."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from . import errors
from ._call_time import CallTime
from ._followed_name import FollowedName, Resolver
from ._rendezvous import ranked
from ._stand_back import StandBack
from ._timing import Timing

C = TypeVar("C")

_DNS = "dns:///"
_LAST_PATIENCE = 0.5


class Replica(Generic[C]):
    """One server, its client once it was called, and how many calls hold that."""

    def __init__(self, name: str, connect: Callable[[str], C], stand_back: StandBack):
        self.name, self._connect, self.stand_back = name, connect, stand_back
        self.clients: list[C] = []
        self.calls, self.is_gone = 0, False

    @property
    def client(self) -> C:
        """Of the first call's event loop, where it has one. Only while held."""
        return self.clients[0]

    def hold(self) -> None:
        if not self.clients:
            self.clients.append(self._connect(self.name))
        self.calls += 1


class Replicas(Generic[C]):
    """Thread-safe."""

    def __init__(self, addresses: str | Iterable[str], connect: Callable[[str], C], timing: Timing, resolve: Resolver,
                 clock: Callable[[], float], random: Callable[[], float]):
        given = [addresses] if isinstance(addresses, str) else list(addresses)
        if not given:
            raise errors.InvalidArgument("BAD_ADDRESS", "no addresses")
        for address in given:
            if not address.rpartition(":")[0] or not address.rpartition(":")[2].isdecimal():
                raise errors.InvalidArgument("BAD_ADDRESS", f"neither host:port nor {_DNS}host:port: {address!r}")
        self._connect, self._timing, self._clock, self._random = connect, timing, clock, random
        self._lock = threading.Lock()
        self._replicas: dict[str, Replica[C]] = {}
        self._fixed = [address for address in given if not address.startswith(_DNS)]
        self._set(self._fixed)
        self._names = [FollowedName(address[len(_DNS):], resolve, timing, clock)
                       for address in given if address.startswith(_DNS)]
        self._found: list[Sequence[str]] = []  # of the names, as last taken over
        weakref.finalize(self, _close_all, self._names)

    def settling(self) -> list[Future[None]]:
        """Ends of the names' first resolutions, for which a call waits."""
        return [end for name in self._names if (end := name.settling) is not None]

    def coming(self) -> list[Future[None]]:
        """Ends of the resolutions that run or are due."""
        return [end for name in self._names if (end := name.coming) is not None]

    def refresh(self) -> list[C]:
        """Takes over what names have now; clients to be closed: their replicas are gone, and nobody calls them."""
        with self._lock:
            found = [name.addresses for name in self._names]
            if found == self._found:
                return []
            self._found = found
            return self._set([*self._fixed, *(address for addresses in found for address in addresses)])

    def _set(self, names: Iterable[str]) -> list[C]:
        wanted, closed = set(names), []
        for name in self._replicas.keys() - wanted:
            replica = self._replicas.pop(name)
            replica.is_gone = True
            if not replica.calls:
                closed += replica.clients
        for name in wanted - self._replicas.keys():
            self._replicas[name] = Replica(name, self._connect, StandBack(self._timing, self._random))
        return closed

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._replicas)

    def order(self, routing_key: bytes) -> list[str]:
        """The owner first; those that stand back last."""
        now = self._clock()
        with self._lock:
            late = {name: not replica.stand_back.is_over(now) for name, replica in self._replicas.items()}
        return sorted(ranked(late, routing_key), key=late.__getitem__)

    def take(self, name: str) -> Replica[C] | None:
        """Holds the replica's client until give_back; None where there is none of the name any more."""
        with self._lock:
            replica = self._replicas.get(name)
            if replica is not None:
                replica.hold()
            return replica

    def give_back(self, replica: Replica[C]) -> list[C]:
        """Its client, to be closed, where the replica is gone and this was the last call."""
        with self._lock:
            replica.calls -= 1
            return replica.clients if replica.is_gone and not replica.calls else []

    def note_failure(self, replica: Replica[C]) -> None:
        now = self._clock()
        with self._lock:
            replica.stand_back.note_failure(now)
        for name in self._names:
            name.doubt()

    def note_answer(self, replica: Replica[C]) -> None:
        with self._lock:
            replica.stand_back.note_answer()

    def time(self, timeout: float | None) -> CallTime:
        """Of a call that begins now."""
        return CallTime(timeout, self._clock)

    def nobody(self) -> errors.Unavailable:
        """What a call fails with that finds no replica."""
        reasons = [failure for name in self._names if (failure := name.failure)]
        return errors.Unavailable("NO_REPLICAS", "; ".join(["no replica is known", *reasons]))

    def close(self) -> list[C]:
        """All clients, to be closed with the calls they have. Waits for no resolver."""
        _close_all(self._names)
        with self._lock:
            clients = [client for replica in self._replicas.values() for client in replica.clients]
            self._replicas.clear()
            return clients


def _close_all(names: Iterable[FollowedName]) -> None:
    for name in names:
        name.close()


class Attempts(Generic[C]):
    """One call's way through the replicas: each is asked once, also such as are found meanwhile, within its time."""

    def __init__(self, replicas: Replicas[C], routing_key: bytes, time: CallTime):
        self._replicas, self._routing_key, self.time = replicas, routing_key, time
        self._asked = set[str]()
        self._has_hope = True

    def next(self) -> Replica[C] | None:
        """The next one to ask; None: there is none, or no time is left for it."""
        if self._asked and self.time.left == 0:
            return None
        for name in self._replicas.order(self._routing_key):
            if name not in self._asked:
                self._asked.add(name)
                replica = self._replicas.take(name)
                if replica is not None:
                    return replica
        return None

    def last_hope(self) -> list[Future[None]] | None:
        """Where all have failed: resolutions whose ends are worth a moment, `patience`, before the next one is looked for
        once more, also where there are none. None: that was done."""
        has_hope, self._has_hope = self._has_hope, False
        return self._replicas.coming() if has_hope else None

    @property
    def patience(self) -> float:
        left = self.time.left
        return _LAST_PATIENCE if left is None else min(left, _LAST_PATIENCE)
