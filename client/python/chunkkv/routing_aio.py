"""Several replicas as one, for asyncio: the same calls, awaited."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableSequence, Sequence
from concurrent.futures import Future
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
from .aio import AsyncClient, AsyncLayerStream, AsyncPutSession
from .layers import Layer
from .operations import Operation, Query, Selector
from .results import Entry, EntryInfo, Pin, PrefixMatch, PutResult

T = TypeVar("T")


async def _wait(ends: Sequence[Future[None]], seconds: float | None) -> None:
    """For all of them, so long at most."""
    if ends:
        await asyncio.wait([asyncio.wrap_future(end) for end in ends], timeout=seconds)


class AsyncRoutedClient:
    """Replicas as one server, for one event loop; use it in an async with statement, or close it. Arguments and results
    are RoutedClient's."""

    def __init__(self, addresses: str | Iterable[str], *, credentials: Any = None,
                 metadata: Sequence[tuple[str, str]] = (), options: Sequence[tuple[str, Any]] = (),
                 timing: Timing = Timing(), resolve: Resolver = resolve_with_system,
                 clock: Callable[[], float] = time.monotonic,
                 random: Callable[[], float] = random.random):
        def connect(name: str) -> AsyncClient:
            return AsyncClient(name, credentials=credentials, metadata=metadata, options=[*ROUTED_OPTIONS, *options])

        self._replicas = Replicas(addresses, connect, timing, resolve, clock, random)

    async def close(self) -> None:
        """Ends all calls; waits for no resolver."""
        for client in self._replicas.close():
            await client.close()

    async def __aenter__(self) -> AsyncRoutedClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def replicas(self) -> Sequence[str]:
        """The names of those there are now."""
        await self._resolve(self._replicas.time(None))
        return self._replicas.names()

    async def order(self, routing_key: bytes) -> Sequence[str]:
        """Who is asked for it, the owner first; those that failed lately come last."""
        await self._resolve(self._replicas.time(None))
        return self._replicas.order(routing_key)

    async def _resolve(self, time: CallTime) -> None:
        """Waits for names that were never resolved, and takes over what names have now."""
        await _wait(self._replicas.settling(), time.left)
        for client in self._replicas.refresh():
            await client.close()

    async def _give_back(self, replica: Replica[AsyncClient]) -> None:
        for client in self._replicas.give_back(replica):
            await client.close()

    async def _hold(self, routing_key: bytes, time: CallTime,
                    act: Callable[[AsyncClient, CallTime], Awaitable[T]]) -> tuple[T, Replica[AsyncClient]]:
        """What the first available replica answers, whose client stays held."""
        attempts: Attempts[AsyncClient] = Attempts(self._replicas, routing_key, time)
        failure: errors.Error | None = None
        while True:
            await self._resolve(time)
            replica = attempts.next()
            if replica is None:
                hope = attempts.last_hope()
                if hope is None:
                    raise failure or self._replicas.nobody()
                await _wait(hope, attempts.patience)
                continue
            try:
                result = await act(replica.client, time)
            except LOST as error:
                failure = error
                self._replicas.note_failure(replica)
                await self._give_back(replica)
            except errors.NotFound:
                self._replicas.note_answer(replica)
                await self._give_back(replica)
                raise
            except BaseException:
                await self._give_back(replica)
                raise
            else:
                self._replicas.note_answer(replica)
                return result, replica

    async def _at_owner(self, routing_key: bytes, time: CallTime,
                        act: Callable[[AsyncClient, CallTime], Awaitable[T]]) -> T:
        result, replica = await self._hold(routing_key, time, act)
        await self._give_back(replica)
        return result

    async def _put(self, calls: Calls) -> PutResult:
        """Puts one entry."""
        return await self._at_owner(calls.routing_key, self._replicas.time(calls.timeout),
                                    lambda client, time: client._put(calls.next(time)))

    async def _get(self, calls: Calls) -> Entry:
        """Gets one entry, whole and verified, or fails."""
        return await self._at_owner(calls.routing_key, self._replicas.time(calls.timeout),
                                    lambda client, time: client._get(calls.next(time)))

    @contextlib.asynccontextmanager
    async def _get_layers(self, calls: Calls) -> AsyncIterator[AsyncLayerStream]:
        """A context manager: one entry layer by layer. The next replica is asked until one has sent the header."""
        async def begin(client: AsyncClient, time: CallTime) -> AsyncLayerStream:
            stream = client._get_layers(calls.next(time))
            await stream.read_header()
            return stream

        stream, replica = await self._hold(calls.routing_key, self._replicas.time(calls.timeout), begin)
        try:
            async with stream:
                yield stream
        except errors.Unavailable:
            self._replicas.note_failure(replica)
            raise
        finally:
            await self._give_back(replica)

    @contextlib.asynccontextmanager
    async def _open_put(self, calls: Calls) -> AsyncIterator[AsyncRoutedPutSession]:
        """A context manager: a put whose layers come one by one. The next replica is asked until one has taken the
        first layer (with a layout: has begun); what fails later is the session's failure."""
        session = AsyncRoutedPutSession(self, calls)
        try:
            await session.begin_if_declared()
            yield session
        except errors.Unavailable:
            session.note_failure()
            raise
        finally:
            await session.end()

    put = routed(put_call, _put)
    open_put = routed(put_call, _open_put)
    get = routed(get_call, _get)
    get_layers = routed(get_call, _get_layers)

    async def _batch(self, items: Sequence[Any], timeout: float | None,
                     act: Callable[[AsyncClient, Any, CallTime], Awaitable[Any]]) -> Sequence[Any]:
        """One call for each owner; an item whose replicas are all unavailable has that error."""
        time = self._replicas.time(timeout)
        await self._resolve(time)
        results: MutableSequence[Any] = [None] * len(items)

        async def ask(indices: Sequence[int]) -> None:
            group = [items[index] for index in indices]
            try:
                found = await self._at_owner(group[0].routing, time, lambda client, time: act(client, group, time))
            except LOST as error:
                found = [error] * len(group)
            for index, result in zip(indices, found, strict=True):
                results[index] = result

        await asyncio.gather(*map(ask, groups(items, self._replicas.order)))
        return results

    async def find(self, queries: Sequence[Query], *,
                   timeout: float | None = None) -> Sequence[PrefixMatch | None | errors.Error]:
        """As Client.find; each query is asked of the owner of its prompt."""
        return await self._batch(queries, timeout, lambda client, group, time: client.find(group, timeout=time.left))

    async def find_longest_prefix(self, *, timeout: float | None = None, **query: Any) -> PrefixMatch | None:
        """As Client.find_longest_prefix. query: as Query."""
        match: PrefixMatch | None = operations.only(await self.find([Query(**query)], timeout=timeout))
        return match

    async def describe_many(self, selectors: Sequence[Selector], *, positions: bool = False,
                            timeout: float | None = None) -> Sequence[EntryInfo | errors.Error]:
        """As Client.describe_many. Errors: InvalidArgument (ROUTING_KEY)."""
        return await self._batch(selectors, timeout, lambda client, group, time: client.describe_many(
            group, positions=positions, timeout=time.left))

    async def describe(self, *, positions: bool = False, timeout: float | None = None, **selector: Any) -> EntryInfo:
        """As Client.describe. selector: as Selector."""
        info: EntryInfo = operations.only(await self.describe_many([Selector(**selector)], positions=positions,
                                                                   timeout=timeout))
        return info

    async def pin_many(self, selectors: Sequence[Selector], *, seconds: float,
                       timeout: float | None = None) -> Sequence[Pin | errors.Error]:
        """As Client.pin_many. Errors: InvalidArgument (ROUTING_KEY)."""
        return await self._batch(selectors, timeout, lambda client, group, time: client.pin_many(
            group, seconds=seconds, timeout=time.left))

    async def pin(self, *, seconds: float, timeout: float | None = None, **selector: Any) -> Pin:
        """As Client.pin. selector: as Selector."""
        pin: Pin = operations.only(await self.pin_many([Selector(**selector)], seconds=seconds, timeout=timeout))
        return pin

    async def delete_many(self, selectors: Sequence[Selector], *,
                          timeout: float | None = None) -> Sequence[errors.Error | None]:
        """As Client.delete_many. Errors: InvalidArgument (ROUTING_KEY)."""
        return await self._batch(selectors, timeout, lambda client, group, time: client.delete_many(
            group, timeout=time.left))

    async def delete(self, *, timeout: float | None = None, **selector: Any) -> None:
        """As Client.delete. selector: as Selector."""
        operations.only(await self.delete_many([Selector(**selector)], timeout=timeout))

    async def unpin_many(self, pins: Sequence[Pin | PrefixMatch | bytes], *,
                         timeout: float | None = None) -> Sequence[errors.Error | None]:
        """As Client.unpin_many: a lease ends at whichever replica has it."""
        replies = await self._run_everywhere(operations.unpin_many(pins, timeout=timeout))
        if not replies:
            raise self._replicas.nobody()
        return unpinned(list(replies.values()), len(pins))

    async def unpin(self, *pins: Pin | PrefixMatch | bytes, timeout: float | None = None) -> None:
        """As Client.unpin: a lease ends at whichever replica has it."""
        operations.raise_first(await self.unpin_many(pins, timeout=timeout))

    async def _everywhere(self, time: CallTime,
                          act: Callable[[AsyncClient], Awaitable[T]]) -> dict[str, T | errors.Error]:
        await self._resolve(time)
        answers: dict[str, T | errors.Error] = {}

        async def ask(name: str) -> None:
            replica = self._replicas.take(name)
            if replica is None:
                return
            try:
                answers[name] = await act(replica.client)
            except errors.Error as error:
                answers[name] = error
            finally:
                await self._give_back(replica)

        await asyncio.gather(*map(ask, self._replicas.names()))
        return answers

    async def _run_everywhere(self, operation: Operation[T]) -> dict[str, T | errors.Error]:
        """Of every replica, by its name, asked all at once; an Error for one that failed."""
        time = self._replicas.time(operation.timeout)
        return await self._everywhere(time, lambda client: client._run(replace(operation, timeout=time.left)))

    trim = method(operations.trim, _run_everywhere)
    capabilities = method(operations.capabilities, _run_everywhere)
    stats = method(operations.stats, _run_everywhere)

    async def list(self, *, fingerprint: bytes | None = None, page_size: int = 0,
                   timeout: float | None = None) -> dict[str, Sequence[EntryInfo] | errors.Error]:
        """All entries of every replica, by its name; an Error for one that failed."""
        time = self._replicas.time(timeout)

        async def entries(client: AsyncClient) -> Sequence[EntryInfo]:
            found, token = await client.list_page(fingerprint=fingerprint, page_size=page_size, timeout=time.left)
            while token:
                page, token = await client.list_page(token, fingerprint=fingerprint, page_size=page_size,
                                                     timeout=time.left)
                found += page
            return found

        return await self._everywhere(time, entries)

    watch = of_one_server("watch")
    record_scores = of_one_server("record_scores")
    list_page = of_one_server("list_page")
    list_regions = of_one_server("list_regions")
    allocate_region = of_one_server("allocate_region")
    lend = of_one_server("lend")
    open_channel = of_one_server("open_channel")


class AsyncRoutedPutSession:
    """A put in progress, at one replica. Made by AsyncRoutedClient.open_put; otherwise as AsyncPutSession."""

    def __init__(self, client: AsyncRoutedClient, calls: Calls):
        self._client, self._calls = client, calls
        self._session: AsyncPutSession | None = None
        self._replica: Replica[AsyncClient] | None = None

    async def begin_if_declared(self) -> None:
        """Asks whether the entry is stored, where a layout was declared."""
        if self._calls.is_declared:
            await self._begin(None)

    async def _begin(self, layer: AnyLayer | None) -> None:
        async def attempt(client: AsyncClient, time: CallTime) -> AsyncPutSession:
            session = client._open_put(self._calls.next(time))
            try:
                await session.__aenter__()
                if layer is not None:
                    await session.send_layer(layer)
            except BaseException:
                await session.__aexit__()
                raise
            return session

        time = self._client._replicas.time(self._calls.timeout)
        self._session, self._replica = await self._client._hold(self._calls.routing_key, time, attempt)

    @property
    def already_stored(self) -> bool:
        """Whether layers need not be sent: known after the first one, or at once with a layout."""
        return self._session is not None and self._session.already_stored

    async def send_layer(self, layer: AnyLayer) -> None:
        if self._session is None:
            await self._begin(layer)
        else:
            await self._session.send_layer(layer)

    async def send_tokens(self, index: int, first_token: int, layer: Layer) -> None:
        """As AsyncPutSession.send_tokens."""
        if self._session is None:
            raise errors.InvalidArgument("ANY_ORDER", "tokens come by send_tokens where the put has any_order")
        await self._session.send_tokens(index, first_token, layer)

    async def commit(self) -> PutResult:
        if self._session is None:
            raise errors.InvalidArgument("EMPTY_LAYOUT", "a put needs layers")
        return await self._session.commit()

    def cancel(self) -> None:
        if self._session is not None:
            self._session.cancel()

    def note_failure(self) -> None:
        """The replica is not asked next."""
        if self._replica is not None:
            self._client._replicas.note_failure(self._replica)

    async def end(self) -> None:
        """Nothing stays of a put that was not committed."""
        if self._session is not None and self._replica is not None:
            await self._session.__aexit__()
            await self._client._give_back(self._replica)
            self._session = self._replica = None
