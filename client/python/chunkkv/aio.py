"""The client for asyncio: the same calls, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import grpc
import grpc.aio

from . import _channel, errors, operations
from ._begin import AnyLayer
from ._channel import method
from ._frames import decode_put_response
from ._get import GetReader
from ._put import HALF_CLOSE, Steps
from ._record import RecordCall, RecordedPut, RecordReader, SkippedPuts, record_call
from ._requests import GetCall, PutCall, get_call, put_call
from .operations import Operation
from .results import Entry, EntryHeader, EntryInfo, EntryLayer, PutResult, WatchEvent
from .v1 import catalog_pb2, kv_cache_service_pb2_grpc

T = TypeVar("T")


async def _error(call: Any) -> errors.Error:
    return errors.from_call(await call.code(), await call.details(), await call.trailing_metadata())


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

    async def close(self) -> None:
        """Ends all calls."""
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _put(self, call: PutCall) -> PutResult:
        """Puts one entry."""
        if call.layers is None:
            raise errors.InvalidArgument("EMPTY_LAYOUT", "put needs layers; open_put takes them one by one")
        stream = _PutStream(self._put_cache, call.timeout, self._metadata)
        return await stream.run(call.conversation.put(call.layers))

    def _open_put(self, call: PutCall) -> AsyncPutSession:
        """A put whose layers come one by one, in an async with statement."""
        if call.layers is not None:
            raise errors.InvalidArgument("LAYERS", "open_put takes layers by send_layer")
        return AsyncPutSession(call, _PutStream(self._put_cache, call.timeout, self._metadata))

    def _get_layers(self, call: GetCall) -> AsyncLayerStream:
        """Gets one entry layer by layer, so that decoding can start before the rest is there."""
        rpc = self._get_cache(call.request.SerializeToString(), timeout=call.timeout, metadata=self._metadata)
        return AsyncLayerStream(rpc, GetReader(call.expected))

    async def _get(self, call: GetCall) -> Entry:
        """Gets one entry, whole and verified, or fails."""
        async with self._get_layers(call) as stream:
            layers = [layer async for layer in stream]
        return Entry(**vars(stream.header), layers=tuple(layers))

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
    delete = method(operations.delete, _run)
    delete_many = method(operations.delete_many, _run)
    trim = method(operations.trim, _run)
    capabilities = method(operations.capabilities, _run)
    stats = method(operations.stats, _run)

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
    """The layers of one get, each verified before it is handed on. header is there after read_header or a layer. the
    async with statement before the end cancels the get."""

    def __init__(self, rpc: Any, reader: GetReader):
        self._rpc, self._reader = _Receiver(rpc), reader

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
        raw = await self._rpc.receive()
        if raw is None:
            self._reader.finish()
            raise StopAsyncIteration
        try:
            return self._reader.feed(raw)
        except errors.Error:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Ends the get; what was not handed on is dropped."""
        self._rpc.cancel()

    async def __aenter__(self) -> AsyncLayerStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()


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
    behind."""

    def __init__(self, call: PutCall, stream: _PutStream):
        self._put, self._stream = call.conversation, stream

    @property
    def already_stored(self) -> bool:
        """Whether layers need not be sent: known after the first one, or at once with a layout."""
        return self._put.result is not None and self._put.result.already_stored

    async def send_layer(self, layer: AnyLayer) -> None:
        await self._stream.run(self._put.send_layer(layer))

    async def commit(self) -> PutResult:
        return await self._stream.run(self._put.commit())

    def cancel(self) -> None:
        self._stream.cancel()

    async def __aenter__(self) -> AsyncPutSession:
        if self._put.is_declared:
            await self._stream.run(self._put.begin())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()


class _PutStream:
    """The I/O of one put; opened by the first message."""

    def __init__(self, rpc: Any, timeout: float | None, metadata: Any):
        self._rpc, self._options = rpc, {"timeout": timeout, "metadata": metadata}
        self._call: Any = None
        self._receiver: _Receiver | None = None

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
            self.cancel()
            raise

    async def _write(self, message: bytes) -> None:
        if self._call is None:
            self._call = self._rpc(**self._options)
            self._receiver = _Receiver(self._call)
        try:
            if message == HALF_CLOSE:
                await self._call.done_writing()
            else:
                await self._call.write(message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise await _error(self._call) from error

    async def _read(self) -> Any:
        assert self._receiver is not None
        raw = await self._receiver.receive()
        return None if raw is None else decode_put_response(raw)

    def cancel(self) -> None:
        if self._receiver is not None:
            self._receiver.cancel()
