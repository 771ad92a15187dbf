"""The client for ordinary threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, TypeVar

import grpc

from . import _channel, errors, operations
from ._ahead import Ahead
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
from .channels import Channel, ChannelEnd
from .layers import Layer
from .operations import Operation
from .regions import DeviceRegion, Region
from .results import Entry, EntryHeader, EntryInfo, EntryLayer, PutResult, WatchEvent
from .v1 import catalog_pb2, kv_cache_service_pb2_grpc, transport_pb2

T = TypeVar("T")


def _error(call: Any) -> errors.Error:
    return errors.from_call(call.code(), call.details(), call.trailing_metadata())


class Client:
    """A connection to one server. Thread-safe; use it in a with statement, or close it.

    address: host:port, or any target of gRPC. credentials: grpc.ChannelCredentials, None for plain text. metadata: sent
    with every call. options: gRPC channel options beyond the client's own.
    """

    def __init__(self, address: str, *, credentials: Any = None, metadata: Sequence[tuple[str, str]] = (),
                 options: Sequence[tuple[str, Any]] = ()):
        options = _channel.channel_options(options)
        self._channel = (grpc.insecure_channel(address, options) if credentials is None
                         else grpc.secure_channel(address, credentials, options))
        self._metadata = tuple(metadata)
        self._stub = kv_cache_service_pb2_grpc.KvCacheServiceStub(self._channel)
        self._get_cache = self._channel.unary_stream(_channel.GET_CACHE)
        self._put_cache = self._channel.stream_stream(_channel.PUT_CACHE)
        self._lent = LentMemory()
        self._channels: set[Channel] = set()
        self._local: LocalSocket | None = None
        self._local_lock = threading.Lock()

    def close(self) -> None:
        """Ends all calls, and closes the regions and channels."""
        try:
            for channel in tuple(self._channels):
                channel.close()
            for region in self._lent.regions:
                region.close()
        finally:
            if self._local is not None:
                self._local.close()
            self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, call: PutCall) -> PutResult:
        """Puts one entry."""
        if call.layers is None:
            raise errors.InvalidArgument("EMPTY_LAYOUT", "put needs layers; open_put takes them one by one")
        return self._put_stream(call).run(call.conversation.put(call.layers))

    def _open_put(self, call: PutCall) -> PutSession:
        """A put whose layers come one by one."""
        if call.layers is not None:
            raise errors.InvalidArgument("LAYERS", "open_put takes layers by send_layer")
        return PutSession(call, self._put_stream(call))

    def _put_stream(self, call: PutCall) -> _PutStream:
        put = call.conversation
        put.lend(self._lent)
        return _PutStream(self._put_cache, call.timeout, self._metadata, lambda: self._quiesce_put(put),
                          call.use_channel())

    def _get_layers(self, call: GetCall) -> LayerStream:
        """Gets one entry layer by layer, so that decoding can start before the rest is there."""
        if call.mapped:
            raise errors.InvalidArgument("MAPPED", "an entry is mapped by get")
        if call.channel is not None:
            transfer = call.channel.new_get()
            rpc = self._get_rpc(call.over_channel())
            return LayerStream(call.channel.ahead(transfer)(rpc), GetReader(call.expected, channel=transfer),
                               lambda: None)
        if call.into is None:
            return self._stream(call, GetReader(call.expected))
        if isinstance(call.into, Region):
            with call.into.layout_lock, rest_of(call.into) as rest:
                return self._stream(call.to_places(rest), GetReader(call.expected, rest))
        given = GivenPlaces(call.into, self._lent)
        return self._stream(call.to_places(given), GetReader(call.expected, given))

    def _stream(self, call: GetCall, reader: GetReader) -> LayerStream:
        return LayerStream(self._get_rpc(call), reader, lambda: self._quiesce(call.request.transfer_id))

    def _get_rpc(self, call: GetCall) -> Any:
        return self._get_cache(call.request.SerializeToString(), timeout=call.timeout, metadata=self._metadata)

    def _get(self, call: GetCall) -> Entry:
        """Gets one entry, whole and verified, or fails."""
        if call.mapped:
            return self._map(call)
        with self._get_layers(call) as stream:
            layers = tuple(stream)
        return Entry(**vars(stream.header), layers=layers)

    def _map(self, call: GetCall) -> Entry:
        time = CallTime(call.timeout, monotonic)
        local, reader = self._local_socket(time.left), GetReader(call.expected, is_mapped=True)
        descriptor = header_over_local_socket(local, call, reader, time.left)
        if descriptor is None:
            with self._stream(replace(call, timeout=time.left), reader) as stream:
                for _ in stream:
                    pass  # a mapped entry has no messages but the header
        return entry_of_mapping(local, reader, descriptor, call.verify, time.left)

    def allocate_region(self, size_bytes: int, *, name: str = "") -> Region:
        """Memory that the server, on this host, reads and writes in place: layers whose arrays lie in it are put
        without being sent, and get(into=...) fills it. name: for list_regions.

        Errors: FailedPrecondition (REGIONS_DISABLED), Unavailable (LOCAL_SOCKET), PermissionDenied (PEER_NOT_ALLOWED),
        ResourceExhausted (OUT_OF_MEMORY, TOO_MANY_REGIONS).
        """
        local = self._local_socket()
        with new_memory(size_bytes) as (descriptor, memory):
            region_id = self._run(operations.register_region(local.offer(descriptor), size_bytes, name))
        region = Region(memory, region_id, self._unregister)
        self._lent.add(region)
        return region

    def lend(self, tensor: Any, *, name: str = "") -> DeviceRegion:
        """A torch tensor of a GPU that the server, on this host, reads and writes in place, until the region is closed:
        an engine's whole cache, or a layer. Layers and PagedRows that lie in it are then put without being copied to the
        host, once the current stream has completed them, and get(into={...}) writes to them, and verifies a copy.

        Errors: as allocate_region; InvalidArgument (NOT_ON_DEVICE, NOT_DEVICE_MEMORY, BAD_REGION_SIZE); Unimplemented
        (NO_CUDA_DRIVER); FailedPrecondition (DEVICE_REGIONS_DISABLED; NOT_EXPORTABLE: neither of cudaMalloc nor of
        expandable segments; NOT_IPC_MEMORY, NOT_DEVICE_MEMORY: not to be reached from the server's GPU).
        """
        local = self._local_socket()
        with span_of(tensor) as span, exported(span.address, span.size_bytes) as memory:
            tokens = [local.offer(descriptor) for descriptor in memory.descriptors]
            region_id = self._run(operations.register_device_region(memory, tokens, span.size_bytes, name))
        region = DeviceRegion(tensor, span, region_id, self._unregister)
        self._lent.add(region)
        return region

    def open_channel(self, device: Any = "cuda", *, library: str | None = None) -> Channel:
        """An NCCL channel between a GPU of this process and the server's: put(channel=...) sends tensors of that GPU over
        it, and get(channel=...) receives them there. library: of NCCL, by default the one that torch has brought with it,
        or the system's; its version must be the server's.

        Errors: FailedPrecondition (CHANNELS_DISABLED, NCCL_VERSION), Unavailable (NCCL_NOT_FOUND, PEER_LOST,
        CHANNEL_TIMEOUT, NCCL_ERROR), Unimplemented (NCCL_NOT_BUILT), ResourceExhausted (TOO_MANY_CHANNELS,
        CHANNELS_NEVER_JOINED), InvalidArgument (NOT_ON_DEVICE).
        """
        end, offered = ChannelEnd(device, library), self.capabilities().channels
        version = end.check_version(offered.nccl_version)
        holding = self._stub.HoldChannels(transport_pb2.HoldChannelsRequest(), metadata=self._metadata)
        try:
            owner = next(holding).owner_id
            rank = end.join(*self._run(operations.open_channel(owner, next(iter(offered.devices), 0), version)))
            end.watch(holding.cancel)
            if not holding.add_callback(end.lose):
                end.lose()
            rank.opened.result()
        except BaseException as error:
            end.fail(errors.Cancelled("CANCELLED", "by the client"))
            holding.cancel()
            if isinstance(error, grpc.RpcError):
                raise _error(error) from error
            raise
        channel = Channel(end, rank, self._close_channel)
        self._channels.add(channel)
        return channel

    def _close_channel(self, channel: Channel) -> None:
        self._channels.discard(channel)
        if channel.begin_close():
            try:
                self._run(operations.close_channel(channel.channel_id))
            except errors.Error:
                pass  # it has ended there, or will, with the stream that holds it
        channel.join()

    def _local_socket(self, timeout: float | None = None) -> LocalSocket:
        """The connection to the server's local socket, a new one where there is none."""
        time = CallTime(timeout, monotonic)
        if not self._local_lock.acquire(timeout=-1 if timeout is None else timeout):
            raise errors.DeadlineExceeded("", "another thread connects to the local socket")
        try:
            if self._local is None or not self._local.is_open:
                self._local = LocalSocket(self.capabilities(timeout=time.left).local_socket)
            return self._local
        finally:
            self._local_lock.release()

    def _unregister(self, region: Region | DeviceRegion) -> None:
        self._lent.discard(region)
        self._wait_until_quiet(operations.unregister_region(region.region_id))

    def _quiesce_put(self, put: PutConversation) -> None:
        self._quiesce(put.transfer_in_doubt)
        put.note_quiet()

    def _quiesce(self, transfer_id: bytes) -> None:
        if transfer_id:
            self._wait_until_quiet(operations.quiesce_transfer(transfer_id))

    def _wait_until_quiet(self, operation: Operation[None]) -> None:
        """Errors: Unavailable (NOT_QUIET): the server may touch the memory still."""
        try:
            self._run(operation)
        except errors.NotFound:
            pass
        except errors.Error as error:
            if self._local is not None and self._local.is_open:
                raise errors.Unavailable("NOT_QUIET", f"memory in regions may still be used: {error}") from error

    def _run(self, operation: Operation[T]) -> T:
        try:
            reply = getattr(self._stub, operation.rpc)(operation.request, timeout=operation.timeout,
                                                       metadata=self._metadata)
        except grpc.RpcError as error:
            raise _error(error) from error
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

    def watch(self, *, after_sequence: int = 0, timeout: float | None = None) -> Watch:
        """What is stored, removed and moved: from a snapshot on, or after a sequence number."""
        request = catalog_pb2.WatchCachesRequest(after_sequence=after_sequence)
        return Watch(self._stub.WatchCaches(request, timeout=timeout, metadata=self._metadata))

    def _record_scores(self, call: RecordCall) -> ScoreStream:
        """Token scores of the next puts of one model, as they are committed."""
        rpc = self._stub.RecordScores(call.request, timeout=call.timeout, metadata=self._metadata)
        return ScoreStream(rpc)

    record_scores = method(record_call, _record_scores)

    def list(self, *, fingerprint: bytes | None = None, page_size: int = 0,
             timeout: float | None = None) -> Iterator[EntryInfo]:
        """The caller's entries, page after page, of one model or all."""
        token = ""
        while True:
            page, token = self.list_page(token, fingerprint=fingerprint, page_size=page_size, timeout=timeout)
            yield from page
            if not token:
                return


class LayerStream:
    """The layers of one get, each verified before it is handed on. header is there from the beginning. Leaving the with
    statement before the end cancels the get."""

    def __init__(self, rpc: Any, reader: GetReader, quiesce: Callable[[], None]):
        self._rpc, self._reader, self._quiesce = rpc, reader, quiesce
        self._is_over = False
        self._receive()
        assert reader.header is not None  # no other message is taken first
        self.header: EntryHeader = reader.header

    def __iter__(self) -> LayerStream:
        return self

    def __next__(self) -> EntryLayer:
        while True:
            layer = self._receive()
            if layer is not None:
                return layer

    def _receive(self) -> EntryLayer | None:
        """The layer that the next message completed, if it did. StopIteration at the end."""
        try:
            return self._reader.feed(next(self._rpc))
        except StopIteration:
            self._is_over = True
            self._reader.finish()
            raise
        except BaseException as error:
            self.cancel()
            if isinstance(error, grpc.RpcError):
                raise _error(error) from error
            raise

    def cancel(self) -> None:
        """Ends the get; what was not handed on is dropped. Returns when nothing is written to a region any more."""
        self._rpc.cancel()
        if not self._is_over:
            self._quiesce()
            self._is_over = True

    def __enter__(self) -> LayerStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class Watch:
    """Events as they happen; cancel ends the iteration."""

    def __init__(self, rpc: Any):
        self._rpc = rpc
        self._is_cancelled = False

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> WatchEvent:
        try:
            return operations.watch_event(next(self._rpc))
        except grpc.RpcError as error:
            if self._is_cancelled:
                raise StopIteration from None
            raise _error(error) from error

    def cancel(self) -> None:
        self._is_cancelled = True
        self._rpc.cancel()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class ScoreStream:
    """The scores of puts as they are committed; ends after as many as were asked for. Leaving the with statement, or
    cancel, ends the recording. Puts that begin once it exists are recorded."""

    def __init__(self, rpc: Any):
        self._rpc, self._reader = rpc, RecordReader()
        while not self._reader.is_recording:
            self._reader.feed(self._receive())

    @property
    def skipped(self) -> SkippedPuts:
        """Puts left out so far."""
        return self._reader.skipped

    def __iter__(self) -> ScoreStream:
        return self

    def __next__(self) -> RecordedPut:
        while True:
            put = self._reader.feed(self._receive())
            if put is not None:
                return put

    def _receive(self) -> Any:
        try:
            return next(self._rpc)
        except StopIteration:
            self._reader.finish()
            raise
        except grpc.RpcError as error:
            raise _error(error) from error

    def cancel(self) -> None:
        self._rpc.cancel()

    def __enter__(self) -> ScoreStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class PutSession:
    """A put in progress, of layers that come one by one; not thread-safe. Leaving the with statement without commit
    leaves nothing behind. Arrays in regions are read until commit has returned, or the with statement is left."""

    def __init__(self, call: PutCall, stream: _PutStream):
        self._put, self._stream = call.conversation, stream
        if self._put.is_declared:
            stream.run(self._put.begin())

    @property
    def already_stored(self) -> bool:
        """Whether layers need not be sent: known after the first one, or at once with a layout."""
        return self._put.result is not None and self._put.result.already_stored

    def send_layer(self, layer: AnyLayer) -> None:
        self._stream.run(self._put.send_layer(layer))

    def send_tokens(self, index: int, first_token: int, layer: Layer) -> None:
        """Rows of layer `index`, of the tokens from first_token on; of a put opened with any_order. Ranges come in any
        order, each row of each layer once. The last one of a layer that is scored brings its queries."""
        self._stream.run(self._put.send_tokens(index, first_token, layer))

    def commit(self) -> PutResult:
        return self._stream.run(self._put.commit())

    def cancel(self) -> None:
        self._stream.cancel()

    def __enter__(self) -> PutSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class _Outbox:
    """Messages on their way from the caller's thread to gRPC's, two at a time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: deque[bytes] = deque()
        self._is_finished = False
        self._is_closed = False

    def put(self, message: bytes) -> bool:
        """Waits for room; False where the call has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._messages) < 2)
            if self._is_closed:
                return False
            self._messages.append(message)
            self._changed.notify_all()
            return True

    def finish(self) -> None:
        """Nothing follows what was put."""
        with self._changed:
            self._is_finished = True
            self._changed.notify_all()

    def close(self) -> None:
        """The call has ended."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def __iter__(self) -> _Outbox:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._is_finished or self._messages)
            if self._is_closed or not self._messages:
                raise StopIteration
            self._changed.notify_all()
            return self._messages.popleft()


class _PutStream:
    """The I/O of one put; opened by the first message."""

    def __init__(self, rpc: Any, timeout: float | None, metadata: Any, quiesce: Callable[[], None],
                 ahead: Callable[[Any], Ahead] | None):
        self._rpc, self._options = rpc, {"timeout": timeout, "metadata": metadata}
        self._quiesce, self._ahead = quiesce, ahead
        self._responses: Any = None
        self._outbox = _Outbox()
        self._call: Any = None

    def run(self, steps: Steps[T]) -> T:
        try:
            message = next(steps)
            while True:
                if message is None:
                    message = steps.send(self._read())
                else:
                    self._write(message)
                    message = next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        except BaseException:
            self.cancel()
            raise

    def _write(self, message: bytes) -> None:
        if self._call is None:
            self._call = self._rpc(self._outbox, **self._options)
            if not self._call.add_callback(self._outbox.close):
                self._outbox.close()
            self._responses = self._ahead(self._call) if self._ahead else self._call
        if message == HALF_CLOSE:
            self._outbox.finish()
        elif not self._outbox.put(message):
            while self._read() is not None:  # raises what the call ended with
                pass
            raise errors.Internal("ENDED_EARLY", "the server ended the put before it was over")

    def _read(self) -> Any:
        try:
            return decode_put_response(next(self._responses))
        except StopIteration:
            return None
        except grpc.RpcError as error:
            raise _error(error) from error

    def cancel(self) -> None:
        self._outbox.close()
        if self._call is not None:
            self._call.cancel()
            self._quiesce()
