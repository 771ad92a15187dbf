"""The client for asyncio: the same calls, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, TypeVar

import grpc
import grpc.aio

from . import _channel, errors, operations
from ._ahead import AsyncAhead
from ._begin import AnyLayer
from ._call_time import CallTime
from ._channel import method
from ._frames import decode_put_response
from ._get import GetReader
from ._cuda_driver import exported
from ._device_rows import span_of
from ._lending import LentMemory
from ._local_socket import LocalSocket
from ._mapped_get import entry_of_mapping, header_over_local_socket
from ._places import GivenPlaces, rest_of
from ._put import HALF_CLOSE, PutConversation, Steps
from ._record import RecordCall, RecordedPut, RecordReader, SkippedPuts, record_call
from ._requests import GetCall, PutCall, get_call, put_call
from ._shared_memory import new_memory
from .channels import AsyncChannel, ChannelEnd
from .layers import Layer
from .operations import Operation
from .regions import AsyncDeviceRegion, AsyncRegion
from .results import Entry, EntryHeader, EntryInfo, EntryLayer, PutResult, WatchEvent
from .v1 import catalog_pb2, kv_cache_service_pb2_grpc, transport_pb2

T = TypeVar("T")
_MakeAhead = Callable[..., AsyncAhead]


class _CallEnd:
    """How the service ended a call that this side writes to. A write that fails because the service ended the call gives
    the call a status of gRPC's own, INTERNAL, in place of the service's, which may have come before or come later: hence
    the first one that is not gRPC's counts."""

    _GRPCS_OWN = "Internal error from Core"

    def __init__(self, call: Any):
        self._error: asyncio.Future[errors.Error] = asyncio.get_running_loop().create_future()
        call.add_done_callback(self._take)

    async def error(self) -> errors.Error:
        return await self._error

    def _take(self, call: Any) -> None:
        code, details, trailer = map(_result_at_once, (call.code(), call.details(), call.trailing_metadata()))
        if not self._error.done() and details != self._GRPCS_OWN:
            self._error.set_result(errors.from_call(code, details, trailer))


def _result_at_once(ended: Any) -> Any:
    """What a coroutine returns that has nothing to wait for."""
    try:
        ended.send(None)
    except StopIteration as result:
        return result.value
    raise AssertionError("the call has not ended")


class AsyncClient:
    """A connection to one server, for one event loop; use it in an async with statement, or close it. Arguments and
    results are Client's."""

    def __init__(self, address: str, *, credentials: Any = None, metadata: Sequence[tuple[str, str]] = (),
                 options: Sequence[tuple[str, Any]] = ()):
        options = _channel.channel_options(options)
        self._channel = (grpc.aio.insecure_channel(address, options) if credentials is None
                         else grpc.aio.secure_channel(address, credentials, options))
        self._metadata = tuple(metadata)
        self._stub = kv_cache_service_pb2_grpc.KvCacheServiceStub(self._channel)
        self._get_cache = self._channel.unary_stream(_channel.GET_CACHE)
        self._put_cache = self._channel.stream_stream(_channel.PUT_CACHE)
        self._lent = LentMemory()
        self._channels: set[AsyncChannel] = set()
        self._local: LocalSocket | None = None
        self._local_lock = asyncio.Lock()

    async def close(self) -> None:
        """Ends all calls, and closes the regions and channels."""
        try:
            for channel in tuple(self._channels):
                await channel.close()
            for region in self._lent.regions:
                await region.close()
        finally:
            if self._local is not None:
                self._local.close()
            await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _put(self, call: PutCall) -> PutResult:
        """Puts one entry."""
        if call.layers is None:
            raise errors.InvalidArgument("EMPTY_LAYOUT", "put needs layers; open_put takes them one by one")
        return await self._put_stream(call).run(call.conversation.put(call.layers))

    def _open_put(self, call: PutCall) -> AsyncPutSession:
        """A put whose layers come one by one, in an async with statement."""
        if call.layers is not None:
            raise errors.InvalidArgument("LAYERS", "open_put takes layers by send_layer")
        return AsyncPutSession(call, self._put_stream(call))

    def _put_stream(self, call: PutCall) -> _PutStream:
        put = call.conversation
        put.lend(self._lent)
        return _PutStream(self._put_cache, call.timeout, self._metadata, lambda: self._quiesce_put(put),
                          call.use_channel())

    def _get_layers(self, call: GetCall) -> AsyncLayerStream:
        """Gets one entry layer by layer, so that decoding can start before the rest is there. into: arrays by (layer,
        name) alone."""
        if call.mapped or isinstance(call.into, AsyncRegion):
            raise errors.InvalidArgument("INTO", "an entry is mapped, or written to new arrays of a region, by get")
        if call.channel is not None:
            transfer = call.channel.new_get()
            return self._stream(call.over_channel(), GetReader(call.expected, channel=transfer),
                                call.channel.ahead(transfer))
        if call.into is None:
            return self._stream(call, GetReader(call.expected))
        given = GivenPlaces(call.into, self._lent)
        return self._stream(call.to_places(given), GetReader(call.expected, given))

    def _stream(self, call: GetCall, reader: GetReader, ahead: _MakeAhead | None = None) -> AsyncLayerStream:
        rpc = self._get_cache(call.request.SerializeToString(), timeout=call.timeout, metadata=self._metadata)
        return AsyncLayerStream(rpc, reader, lambda: self._quiesce(call.request.transfer_id), ahead)

    async def _get(self, call: GetCall) -> Entry:
        """Gets one entry, whole and verified, or fails."""
        if call.mapped:
            return await self._map(call)
        if isinstance(call.into, AsyncRegion):
            return await self._get_into_region(call, call.into)
        async with self._get_layers(call) as stream:
            layers = [layer async for layer in stream]
        return Entry(**vars(stream.header), layers=tuple(layers))

    async def _get_into_region(self, call: GetCall, region: AsyncRegion) -> Entry:
        async with region.layout_lock:
            with rest_of(region) as rest:
                stream = self._stream(call.to_places(rest), GetReader(call.expected, rest))
                await stream.read_header()
        async with stream:
            layers = [layer async for layer in stream]
        return Entry(**vars(stream.header), layers=tuple(layers))

    async def _map(self, call: GetCall) -> Entry:
        time = CallTime(call.timeout, monotonic)
        local, reader = await self._local_socket(time.left), GetReader(call.expected, is_mapped=True)
        descriptor = await asyncio.to_thread(header_over_local_socket, local, call, reader, time.left)
        if descriptor is None:
            async with self._stream(replace(call, timeout=time.left), reader) as stream:
                async for _ in stream:
                    pass  # a mapped entry has no messages but the header
        return await asyncio.to_thread(entry_of_mapping, local, reader, descriptor, call.verify, time.left)

    async def allocate_region(self, size_bytes: int, *, name: str = "") -> AsyncRegion:
        """As Client.allocate_region."""
        local = await self._local_socket()
        with new_memory(size_bytes) as (descriptor, memory):
            token = await asyncio.to_thread(local.offer, descriptor)
            region_id = await self._run(operations.register_region(token, size_bytes, name))
        region = AsyncRegion(memory, region_id, self._unregister)
        self._lent.add(region)
        return region

    async def lend(self, tensor: Any, *, name: str = "") -> AsyncDeviceRegion:
        """As Client.lend."""
        local = await self._local_socket()
        with span_of(tensor) as span, exported(span.address, span.size_bytes) as memory:
            tokens = [await asyncio.to_thread(local.offer, descriptor) for descriptor in memory.descriptors]
            region_id = await self._run(operations.register_device_region(memory, tokens, span.size_bytes, name))
        region = AsyncDeviceRegion(tensor, span, region_id, self._unregister)
        self._lent.add(region)
        return region

    async def open_channel(self, device: Any = "cuda", *, library: str | None = None) -> AsyncChannel:
        """As Client.open_channel."""
        end, offered = await asyncio.to_thread(ChannelEnd, device, library), (await self.capabilities()).channels
        version, loop = end.check_version(offered.nccl_version), asyncio.get_running_loop()
        holding = self._stub.HoldChannels(transport_pb2.HoldChannelsRequest(), metadata=self._metadata)
        try:
            held = await _Receiver(holding).receive()
            owner = b"" if held is None else held.owner_id
            rank = end.join(*await self._run(operations.open_channel(owner, next(iter(offered.devices), 0), version)))
            end.watch(lambda: loop.call_soon_threadsafe(holding.cancel))
            holding.add_done_callback(lambda _: end.lose())
            await asyncio.wrap_future(rank.opened)
        except BaseException:
            end.fail(errors.Cancelled("CANCELLED", "by the client"))
            holding.cancel()
            raise
        channel = AsyncChannel(end, rank, self._close_channel)
        self._channels.add(channel)
        return channel

    async def _close_channel(self, channel: AsyncChannel) -> None:
        self._channels.discard(channel)
        if channel.begin_close():
            try:
                await self._run(operations.close_channel(channel.channel_id))
            except errors.Error:
                pass  # it has ended there, or will, with the stream that holds it
        await asyncio.to_thread(channel.join)

    async def _local_socket(self, timeout: float | None = None) -> LocalSocket:
        """The connection to the server's local socket, a new one where there is none."""
        try:
            return await asyncio.wait_for(self._connected_local_socket(), timeout)
        except errors.Error:
            raise
        except asyncio.TimeoutError as error:
            raise errors.DeadlineExceeded("", "no connection to the local socket in time") from error

    async def _connected_local_socket(self) -> LocalSocket:
        async with self._local_lock:
            if self._local is None or not self._local.is_open:
                self._local = LocalSocket((await self.capabilities()).local_socket)
            return self._local

    async def _unregister(self, region: AsyncRegion | AsyncDeviceRegion) -> None:
        self._lent.discard(region)
        await self._wait_until_quiet(operations.unregister_region(region.region_id))

    async def _quiesce_put(self, put: PutConversation) -> None:
        await self._quiesce(put.transfer_in_doubt)
        put.note_quiet()

    async def _quiesce(self, transfer_id: bytes) -> None:
        if transfer_id:
            await self._wait_until_quiet(operations.quiesce_transfer(transfer_id))

    async def _wait_until_quiet(self, operation: Operation[None]) -> None:
        """Also where the caller's task is cancelled. Errors: Unavailable (NOT_QUIET): the server may touch the memory
        still."""
        waiting = asyncio.ensure_future(self._run(operation))
        cancelled: asyncio.CancelledError | None = None
        while not waiting.done():
            try:
                await asyncio.wait([waiting])
            except asyncio.CancelledError as error:
                cancelled = error
        failure = waiting.exception()
        if failure is not None and not isinstance(failure, errors.NotFound):
            if not isinstance(failure, errors.Error):
                raise failure
            if self._local is not None and self._local.is_open:
                raise errors.Unavailable("NOT_QUIET", f"memory in regions may still be used: {failure}") from failure
        if cancelled is not None:
            raise cancelled

    async def _run(self, operation: Operation[T]) -> T:
        try:
            reply = await getattr(self._stub, operation.rpc)(operation.request, timeout=operation.timeout,
                                                             metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise errors.from_call(error.code(), error.details(), error.trailing_metadata()) from error
        return operation.parse(reply)

    put = method(put_call, _put)
    open_put = method(put_call, _open_put)
    get = method(get_call, _get)
    get_layers = method(get_call, _get_layers)
    find = method(operations.find, _run)
    find_longest_prefix = method(operations.find_longest_prefix, _run)
    describe = method(operations.describe, _run)
    describe_many = method(operations.describe_many, _run)
    list_page = method(operations.list_page, _run)
    pin = method(operations.pin, _run)
    pin_many = method(operations.pin_many, _run)
    unpin = method(operations.unpin, _run)
    unpin_many = method(operations.unpin_many, _run)
    delete = method(operations.delete, _run)
    delete_many = method(operations.delete_many, _run)
    trim = method(operations.trim, _run)
    capabilities = method(operations.capabilities, _run)
    stats = method(operations.stats, _run)
    list_regions = method(operations.list_regions, _run)

    def watch(self, *, after_sequence: int = 0, timeout: float | None = None) -> AsyncWatch:
        """What is stored, removed and moved: from a snapshot on, or after a sequence number."""
        request = catalog_pb2.WatchCachesRequest(after_sequence=after_sequence)
        return AsyncWatch(self._stub.WatchCaches(request, timeout=timeout, metadata=self._metadata))

    def _record_scores(self, call: RecordCall) -> AsyncScoreStream:
        """Token scores of the next puts of one model, as they are committed. `async with` returns once puts are
        recorded."""
        rpc = self._stub.RecordScores(call.request, timeout=call.timeout, metadata=self._metadata)
        return AsyncScoreStream(rpc)

    record_scores = method(record_call, _record_scores)

    async def list(self, *, fingerprint: bytes | None = None, page_size: int = 0,
                   timeout: float | None = None) -> AsyncIterator[EntryInfo]:
        """The caller's entries, page after page, of one model or all."""
        token = ""
        while True:
            page, token = await self.list_page(token, fingerprint=fingerprint, page_size=page_size, timeout=timeout)
            for entry in page:
                yield entry
            if not token:
                return


class _Receiver:
    """Responses of one call. After cancel the call ends with Cancelled for whoever waits for it."""

    def __init__(self, call: Any):
        self._call = call
        self._is_cancelled = False

    async def receive(self) -> Any:
        """The next response, None at the end."""
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise errors.from_call(error.code(), error.details(), error.trailing_metadata()) from error
        except asyncio.CancelledError:
            if self._is_cancelled:
                raise errors.Cancelled("CANCELLED", "by the client") from None
            raise
        return None if response is grpc.aio.EOF else response

    def cancel(self) -> None:
        self._is_cancelled = True
        self._call.cancel()


class AsyncLayerStream:
    """The layers of one get, each verified before it is handed on. header is there after read_header or a layer.
    Leaving the async with statement before the end cancels the get, and returns when nothing is written to a region any
    more."""

    def __init__(self, rpc: Any, reader: GetReader, quiesce: Callable[[], Awaitable[None]],
                 ahead: _MakeAhead | None = None):
        self._rpc, self._reader, self._quiesce = _Receiver(rpc), reader, quiesce
        self._ahead = ahead(rpc, self._rpc.receive) if ahead else None
        self._is_over = False

    @property
    def header(self) -> EntryHeader:
        if self._reader.header is None:
            raise errors.FailedPrecondition("NO_HEADER", "await read_header() first")
        return self._reader.header

    async def read_header(self) -> EntryHeader:
        """Waits for the header."""
        if self._reader.header is None:
            await self._receive()
        return self.header

    def __aiter__(self) -> AsyncLayerStream:
        return self

    async def __anext__(self) -> EntryLayer:
        while True:
            layer = await self._receive()
            if layer is not None:
                return layer

    async def _receive(self) -> EntryLayer | None:
        """The layer that the next message completed, if it did. StopAsyncIteration at the end."""
        try:
            raw = await (self._ahead or self._rpc).receive()
            if raw is not None:
                if self._ahead is None:
                    return self._reader.feed(raw)
                return await asyncio.to_thread(self._reader.feed, raw)  # waits for the GPU
        except BaseException:
            await self._end()
            raise
        self._is_over = True
        self._reader.finish()
        raise StopAsyncIteration

    async def _end(self) -> None:
        self.cancel()
        if not self._is_over:
            await self._quiesce()
            self._is_over = True

    def cancel(self) -> None:
        """Ends the get; what was not handed on is dropped."""
        self._rpc.cancel()

    async def __aenter__(self) -> AsyncLayerStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()


class AsyncWatch:
    """Events as they happen; cancel ends the iteration."""

    def __init__(self, rpc: Any):
        self._rpc = _Receiver(rpc)

    def __aiter__(self) -> AsyncWatch:
        return self

    async def __anext__(self) -> WatchEvent:
        try:
            message = await self._rpc.receive()
        except errors.Cancelled:
            raise StopAsyncIteration from None
        if message is None:
            raise StopAsyncIteration
        return operations.watch_event(message)

    def cancel(self) -> None:
        self._rpc.cancel()

    async def __aenter__(self) -> AsyncWatch:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()


class AsyncScoreStream:
    """The scores of puts as they are committed; ends after as many as were asked for. Leaving the async with statement,
    or cancel, ends the recording."""

    def __init__(self, rpc: Any):
        self._rpc, self._reader = _Receiver(rpc), RecordReader()

    @property
    def skipped(self) -> SkippedPuts:
        """Puts left out so far."""
        return self._reader.skipped

    def __aiter__(self) -> AsyncScoreStream:
        return self

    async def __anext__(self) -> RecordedPut:
        while True:
            put = await self._feed()
            if put is not None:
                return put

    async def _feed(self) -> RecordedPut | None:
        message = await self._rpc.receive()
        if message is None:
            self._reader.finish()
            raise StopAsyncIteration
        return self._reader.feed(message)

    def cancel(self) -> None:
        self._rpc.cancel()

    async def __aenter__(self) -> AsyncScoreStream:
        while not self._reader.is_recording:
            await self._feed()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()


class AsyncPutSession:
    """A put in progress, of layers that come one by one. Leaving the async with statement without commit leaves nothing
    behind. Arrays in regions are read until commit has returned, or the async with statement is left."""

    def __init__(self, call: PutCall, stream: _PutStream):
        self._put, self._stream = call.conversation, stream

    @property
    def already_stored(self) -> bool:
        """Whether layers need not be sent: known after the first one, or at once with a layout."""
        return self._put.result is not None and self._put.result.already_stored

    async def send_layer(self, layer: AnyLayer) -> None:
        await self._stream.run(self._put.send_layer(layer))

    async def send_tokens(self, index: int, first_token: int, layer: Layer) -> None:
        """Rows of layer `index`, of the tokens from first_token on; of a put opened with any_order. Ranges come in any
        order, each row of each layer once. The last one of a layer that is scored brings its queries."""
        await self._stream.run(self._put.send_tokens(index, first_token, layer))

    async def commit(self) -> PutResult:
        return await self._stream.run(self._put.commit())

    def cancel(self) -> None:
        self._stream.cancel()

    async def __aenter__(self) -> AsyncPutSession:
        if self._put.is_declared:
            await self._stream.run(self._put.begin())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stream.end()


class _PutStream:
    """The I/O of one put; opened by the first message."""

    def __init__(self, rpc: Any, timeout: float | None, metadata: Any, quiesce: Callable[[], Awaitable[None]],
                 ahead: _MakeAhead | None):
        self._rpc, self._options = rpc, {"timeout": timeout, "metadata": metadata}
        self._quiesce, self._make_ahead = quiesce, ahead
        self._responses: Any = None
        self._call: Any = None
        self._receiver: _Receiver | None = None
        self._end: _CallEnd | None = None

    async def run(self, steps: Steps[T]) -> T:
        try:
            message = next(steps)
            while True:
                if message is None:
                    message = steps.send(await self._read())
                else:
                    await self._write(message)
                    message = next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        except BaseException:
            await self.end()
            raise

    async def _write(self, message: bytes) -> None:
        if self._call is None:
            self._call = self._rpc(**self._options)
            self._receiver, self._end = _Receiver(self._call), _CallEnd(self._call)
            self._responses = self._receiver
            if self._make_ahead is not None:
                self._responses = self._make_ahead(self._call, self._receiver.receive)
        assert self._end is not None
        try:
            if message == HALF_CLOSE:
                await self._call.done_writing()
            else:
                await self._call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await self._end.error() from error

    async def _read(self) -> Any:
        raw = await self._responses.receive()
        return None if raw is None else decode_put_response(raw)

    def cancel(self) -> None:
        if self._receiver is not None:
            self._receiver.cancel()

    async def end(self) -> None:
        """Cancels the put; returns when the server touches no region for it any more."""
        self.cancel()
        await self._quiesce()
