"""Several replicas as one, for ordinary threads."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from concurrent import futures
from dataclasses import replace
from typing import Any, TypeVar

from . import errors, operations
from ._begin import AnyLayer
from ._call_time import CallTime
from ._channel import method
from ._followed_name import Resolver, resolve_with_system
from ._replicas import Attempts, Replica, Replicas
from ._requests import get_call, put_call
from ._routed import LOST, ROUTED_OPTIONS, Calls, groups, of_one_server, routed, unpinned
from ._timing import Timing
from .client import Client, LayerStream, PutSession
from .layers import Layer
from .operations import Operation, Query, Selector
from .results import Entry, EntryInfo, Pin, PrefixMatch, PutResult

T = TypeVar("T")


class RoutedClient:
    """Replicas as one server: each prompt has an owner among them, on which clients in any language agree. Thread-safe;
    use it in a with statement, or close it.

    addresses: host:port of each replica, and names as "dns:///host:port", every address of which is a replica: the list
    follows the name. credentials, metadata, options: as Client's. timing, resolve, clock, random: how names are
    followed, and how long who fails stands back.

    A call goes to the owner of its routing key: by default that of its prompt, the first block's digest. Where that is
    Unavailable (it cannot be reached, it drains), or Cancelled by no caller (it has ended meanwhile), the next replica
    in order is asked, each once; anything else is the answer. timeout and wait_seconds are of all that. A replica that
    failed stands back (Timing). Names are resolved in the background: a call waits for a resolver only where that has
    never answered, and, half a second at most, where all replicas have failed it. Regions, mappings, channels, watch and
    record_scores are of one server: InvalidArgument (NOT_ROUTED).
    """

    def __init__(self, addresses: str | Iterable[str], *, credentials: Any = None,
                 metadata: Sequence[tuple[str, str]] = (), options: Sequence[tuple[str, Any]] = (),
                 timing: Timing = Timing(), resolve: Resolver = resolve_with_system,
                 clock: Callable[[], float] = time.monotonic,
                 random: Callable[[], float] = random.random):
        def connect(name: str) -> Client:
            return Client(name, credentials=credentials, metadata=metadata, options=[*ROUTED_OPTIONS, *options])

        self._replicas = Replicas(addresses, connect, timing, resolve, clock, random)

    def close(self) -> None:
        """Ends all calls; waits for no resolver."""
        for client in self._replicas.close():
            client.close()

    def __enter__(self) -> RoutedClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def replicas(self) -> Sequence[str]:
        """The names of those there are now."""
        self._resolve(self._replicas.time(None))
        return self._replicas.names()

    def order(self, routing_key: bytes) -> Sequence[str]:
        """Who is asked for it, the owner first; those that failed lately come last."""
        self._resolve(self._replicas.time(None))
        return self._replicas.order(routing_key)

    def _resolve(self, time: CallTime) -> None:
        """Waits for names that were never resolved, and takes over what names have now."""
        futures.wait(self._replicas.settling(), time.left)
        for client in self._replicas.refresh():
            client.close()

    def _give_back(self, replica: Replica[Client]) -> None:
        for client in self._replicas.give_back(replica):
            client.close()

    def _hold(self, routing_key: bytes, time: CallTime,
              act: Callable[[Client, CallTime], T]) -> tuple[T, Replica[Client]]:
        """What the first available replica answers, whose client stays held."""
        attempts: Attempts[Client] = Attempts(self._replicas, routing_key, time)
        failure: errors.Error | None = None
        while True:
            self._resolve(time)
            replica = attempts.next()
            if replica is None:
                hope = attempts.last_hope()
                if hope is None:
                    raise failure or self._replicas.nobody()
                futures.wait(hope, attempts.patience)
                continue
            try:
                result = act(replica.client, time)
            except LOST as error:
                failure = error
                self._replicas.note_failure(replica)
                self._give_back(replica)
            except errors.NotFound:
                self._replicas.note_answer(replica)
                self._give_back(replica)
                raise
            except BaseException:
                self._give_back(replica)
                raise
            else:
                self._replicas.note_answer(replica)
                return result, replica

    def _at_owner(self, routing_key: bytes, time: CallTime, act: Callable[[Client, CallTime], T]) -> T:
        result, replica = self._hold(routing_key, time, act)
        self._give_back(replica)
        return result

    def _put(self, calls: Calls) -> PutResult:
        """Puts one entry."""
        return self._at_owner(calls.routing_key, self._replicas.time(calls.timeout),
                              lambda client, time: client._put(calls.next(time)))

    def _get(self, calls: Calls) -> Entry:
        """Gets one entry, whole and verified, or fails."""
        return self._at_owner(calls.routing_key, self._replicas.time(calls.timeout),
                              lambda client, time: client._get(calls.next(time)))

    @contextlib.contextmanager
    def _get_layers(self, calls: Calls) -> Iterator[LayerStream]:
        """A context manager: one entry layer by layer. The next replica is asked until one has sent the header."""
        stream, replica = self._hold(calls.routing_key, self._replicas.time(calls.timeout),
                                     lambda client, time: client._get_layers(calls.next(time)))
        try:
            with stream:
                yield stream
        except errors.Unavailable:
            self._replicas.note_failure(replica)
            raise
        finally:
            self._give_back(replica)

    @contextlib.contextmanager
    def _open_put(self, calls: Calls) -> Iterator[RoutedPutSession]:
        """A context manager: a put whose layers come one by one. The next replica is asked until one has taken the
        first layer (with a layout: has begun); what fails later is the session's failure."""
        session = RoutedPutSession(self, calls)
        try:
            yield session
        except errors.Unavailable:
            session.note_failure()
            raise
        finally:
            session.end()

    put = routed(put_call, _put)
    open_put = routed(put_call, _open_put)
    get = routed(get_call, _get)
    get_layers = routed(get_call, _get_layers)

    def _batch(self, items: Sequence[Any], timeout: float | None,
               act: Callable[[Client, Any, CallTime], Any]) -> Sequence[Any]:
        """One call for each owner; an item whose replicas are all unavailable has that error."""
        time = self._replicas.time(timeout)
        self._resolve(time)
        results: MutableSequence[Any] = [None] * len(items)
        for indices in groups(items, self._replicas.order):
            group = [items[index] for index in indices]
            try:
                found = self._at_owner(group[0].routing, time, lambda client, time: act(client, group, time))
            except LOST as error:
                found = [error] * len(group)
            for index, result in zip(indices, found, strict=True):
                results[index] = result
        return results

    def find(self, queries: Sequence[Query], *,
             timeout: float | None = None) -> Sequence[PrefixMatch | None | errors.Error]:
        """As Client.find; each query is asked of the owner of its prompt."""
        return self._batch(queries, timeout, lambda client, group, time: client.find(group, timeout=time.left))

    def find_longest_prefix(self, *, timeout: float | None = None, **query: Any) -> PrefixMatch | None:
        """As Client.find_longest_prefix. query: as Query."""
        match: PrefixMatch | None = operations.only(self.find([Query(**query)], timeout=timeout))
        return match

    def describe_many(self, selectors: Sequence[Selector], *, positions: bool = False,
                      timeout: float | None = None) -> Sequence[EntryInfo | errors.Error]:
        """As Client.describe_many. Errors: InvalidArgument (ROUTING_KEY)."""
        return self._batch(selectors, timeout, lambda client, group, time: client.describe_many(
            group, positions=positions, timeout=time.left))

    def describe(self, *, positions: bool = False, timeout: float | None = None, **selector: Any) -> EntryInfo:
        """As Client.describe. selector: as Selector."""
        info: EntryInfo = operations.only(self.describe_many([Selector(**selector)], positions=positions,
                                                             timeout=timeout))
        return info

    def pin_many(self, selectors: Sequence[Selector], *, seconds: float,
                 timeout: float | None = None) -> Sequence[Pin | errors.Error]:
        """As Client.pin_many. Errors: InvalidArgument (ROUTING_KEY)."""
        return self._batch(selectors, timeout, lambda client, group, time: client.pin_many(
            group, seconds=seconds, timeout=time.left))

    def pin(self, *, seconds: float, timeout: float | None = None, **selector: Any) -> Pin:
        """As Client.pin. selector: as Selector."""
        pin: Pin = operations.only(self.pin_many([Selector(**selector)], seconds=seconds, timeout=timeout))
        return pin

    def delete_many(self, selectors: Sequence[Selector], *,
                    timeout: float | None = None) -> Sequence[errors.Error | None]:
        """As Client.delete_many. Errors: InvalidArgument (ROUTING_KEY)."""
        return self._batch(selectors, timeout, lambda client, group, time: client.delete_many(group, timeout=time.left))

    def delete(self, *, timeout: float | None = None, **selector: Any) -> None:
        """As Client.delete. selector: as Selector."""
        operations.only(self.delete_many([Selector(**selector)], timeout=timeout))

    def unpin_many(self, pins: Sequence[Pin | PrefixMatch | bytes], *,
                   timeout: float | None = None) -> Sequence[errors.Error | None]:
        """As Client.unpin_many: a lease ends at whichever replica has it."""
        replies = self._run_everywhere(operations.unpin_many(pins, timeout=timeout))
        if not replies:
            raise self._replicas.nobody()
        return unpinned(list(replies.values()), len(pins))

    def unpin(self, *pins: Pin | PrefixMatch | bytes, timeout: float | None = None) -> None:
        """As Client.unpin: a lease ends at whichever replica has it."""
        operations.raise_first(self.unpin_many(pins, timeout=timeout))

    def _everywhere(self, time: CallTime, act: Callable[[Client], T]) -> dict[str, T | errors.Error]:
        self._resolve(time)
        answers: dict[str, T | errors.Error] = {}

        def ask(name: str) -> None:
            replica = self._replicas.take(name)
            if replica is None:
                return
            try:
                answers[name] = act(replica.client)
            except errors.Error as error:
                answers[name] = error
            finally:
                self._give_back(replica)

        names = self._replicas.names()
        with futures.ThreadPoolExecutor(len(names) or 1) as threads:
            list(threads.map(ask, names))
        return answers

    def _run_everywhere(self, operation: Operation[T]) -> dict[str, T | errors.Error]:
        """Of every replica, by its name, asked all at once; an Error for one that failed."""
        time = self._replicas.time(operation.timeout)
        return self._everywhere(time, lambda client: client._run(replace(operation, timeout=time.left)))

    trim = method(operations.trim, _run_everywhere)
    capabilities = method(operations.capabilities, _run_everywhere)
    stats = method(operations.stats, _run_everywhere)

    def list(self, *, fingerprint: bytes | None = None, page_size: int = 0,
             timeout: float | None = None) -> dict[str, Sequence[EntryInfo] | errors.Error]:
        """All entries of every replica, by its name; an Error for one that failed."""
        time = self._replicas.time(timeout)

        def entries(client: Client) -> Sequence[EntryInfo]:
            found, token = client.list_page(fingerprint=fingerprint, page_size=page_size, timeout=time.left)
            while token:
                page, token = client.list_page(token, fingerprint=fingerprint, page_size=page_size, timeout=time.left)
                found += page
            return found

        return self._everywhere(time, entries)

    watch = of_one_server("watch")
    record_scores = of_one_server("record_scores")
    list_page = of_one_server("list_page")
    list_regions = of_one_server("list_regions")
    allocate_region = of_one_server("allocate_region")
    lend = of_one_server("lend")
    open_channel = of_one_server("open_channel")


class RoutedPutSession:
    """A put in progress, at one replica. Made by RoutedClient.open_put; otherwise as PutSession."""

    def __init__(self, client: RoutedClient, calls: Calls):
        self._client, self._calls = client, calls
        self._session: PutSession | None = None
        self._replica: Replica[Client] | None = None
        if calls.is_declared:
            self._begin(None)

    def _begin(self, layer: AnyLayer | None) -> None:
        def attempt(client: Client, time: CallTime) -> PutSession:
            session = client._open_put(self._calls.next(time))
            if layer is not None:
                session.send_layer(layer)
            return session

        time = self._client._replicas.time(self._calls.timeout)
        self._session, self._replica = self._client._hold(self._calls.routing_key, time, attempt)

    @property
    def already_stored(self) -> bool:
        """Whether layers need not be sent: known after the first one, or at once with a layout."""
        return self._session is not None and self._session.already_stored

    def send_layer(self, layer: AnyLayer) -> None:
        if self._session is None:
            self._begin(layer)
        else:
            self._session.send_layer(layer)

    def send_tokens(self, index: int, first_token: int, layer: Layer) -> None:
        """As PutSession.send_tokens."""
        if self._session is None:
            raise errors.InvalidArgument("ANY_ORDER", "tokens come by send_tokens where the put has any_order")
        self._session.send_tokens(index, first_token, layer)

    def commit(self) -> PutResult:
        if self._session is None:
            raise errors.InvalidArgument("EMPTY_LAYOUT", "a put needs layers")
        return self._session.commit()

    def cancel(self) -> None:
        if self._session is not None:
            self._session.cancel()

    def note_failure(self) -> None:
        """The replica is not asked next."""
        if self._replica is not None:
            self._client._replicas.note_failure(self._replica)

    def end(self) -> None:
        """Nothing stays of a put that was not committed."""
        if self._session is not None and self._replica is not None:
            self._session.cancel()
            self._client._give_back(self._replica)
            self._session = self._replica = None
