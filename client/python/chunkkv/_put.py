"""One put as a conversation without I/O. Each step is a generator that yields bytes to send (none at all: nothing more
will be sent), or None to be given the next response (None at the stream's end)."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from ._arrays import Array, byte_view
from ._begin import AnyLayer, PutRequest, declare
from ._channel_transfers import ChannelPut
from ._frames import encode_part, encode_region_part
from ._layout import attention_index, layer_count, run_of
from ._lending import LentMemory
from .errors import DataLoss, FailedPrecondition, InvalidArgument
from .identity import variant_of
from .layers import Layer, VerbatimLayer
from .paged import Rows
from .results import Compaction, PutResult, durability_name
from .v1 import payload_pb2, put_pb2

T = TypeVar("T")
Steps = Generator["bytes | None", "put_pb2.PutCacheResponse | None", T]

PART_BYTES = 1 << 20
HALF_CLOSE = b""


class PutConversation:
    """begin, then layers in order, then commit. result is there as soon as the put is over, which is at begin where the
    entry is stored already: whatever follows is then not sent."""

    def __init__(self, request: PutRequest):
        self._request = request
        self._begun: Any = None
        self._layout: Sequence[Any] = []  # LayerRun messages
        self._layer = 0  # next to come
        self._held: list[tuple[int, Layer]] = []  # scored, but not yet sent: their selection is missing
        self._selections: dict[int, Array | None] = {}  # None: everything
        self._kept: Sequence[Array] = []
        self._token_total = 0
        self._scores_are_sent = False
        self._lent: LentMemory | None = None
        self._channel: ChannelPut | None = None
        self._has_lent = False  # a part in a region was sent, and the server may read it still
        self.result: PutResult | None = None

    def lend(self, lent: LentMemory) -> None:
        """What lies in a region is left there for the server to read. Before begin."""
        if lent.regions:
            self._lent = lent
            self._request.transfer_id = os.urandom(16)

    def use_channel(self, channel: ChannelPut) -> None:
        """What is on the channel's GPU, and in no region, goes over it. Before begin."""
        self._channel = channel

    @property
    def transfer_in_doubt(self) -> bytes:
        """What to quiesce where the put ends now; empty where the server touches none of the caller's memory."""
        return self._request.transfer_id if self._has_lent and self.result is None else b""

    def note_quiet(self) -> None:
        """The transfer was quiesced: nothing follows."""
        self._has_lent = False

    @property
    def has_begun(self) -> bool:
        return self._begun is not None

    @property
    def is_declared(self) -> bool:
        """Whether it can begin without a layer."""
        return self._request.layout is not None

    def begin(self, layers: Sequence[AnyLayer] | None = None) -> Steps[None]:
        """Declares the put by its layers, or by the request's layout."""
        declared = declare(self._request, layers)
        self._layout, self._kept, self._token_total = declared.layout, declared.kept, declared.token_count
        self._scores_are_sent = declared.begin.HasField("scores")
        response = yield from self._exchange(put_pb2.PutCacheRequest(begin=declared.begin).SerializeToString())
        if not response.HasField("begun"):
            raise DataLoss("MALFORMED_REPLY", "the reply does not begin with Begun")
        self._begun = response.begun
        if self._begun.HasField("already_stored"):
            stored = self._begun.already_stored
            self.result = PutResult(
                entry_id=stored.entry_id, key=self._request.prompt.key, fingerprint=self._request.model.fingerprint(),
                variant=variant_of(self._request.spec), durability=durability_name(stored.durability),
                already_stored=True, stored_bytes=stored.size_bytes)
            return
        for group, positions in enumerate(self._kept):
            message = put_pb2.KeptPositions(group=group, positions=positions.tolist())
            yield put_pb2.PutCacheRequest(positions=message).SerializeToString()

    def send_layer(self, layer: AnyLayer) -> Steps[None]:
        """The next layer. The first one begins the put, where begin was not called."""
        if not self.has_begun:
            yield from self.begin(None if self._request.layout is not None else self._like(layer))
        if self.result is not None:
            return
        if self._request.any_order:
            raise InvalidArgument("ANY_ORDER", "its layers come by send_tokens")
        index = self._take_index(layer)
        if isinstance(layer, Layer):
            yield from self._scores(index, layer)
        if not self._request.select_then_send or isinstance(layer, VerbatimLayer):
            yield from self._tensors(index, layer)
            return
        self._held.append((index, layer))
        yield from self._release(wait=not self._selection_waits_for_all)

    def send_tokens(self, index: int, first_token: int, layer: Layer) -> Steps[None]:
        """Rows of layer `index` from first_token on, and what of it is scored where `layer` has that."""
        if not self._request.any_order:
            raise InvalidArgument("ANY_ORDER", "tokens come range by range where the put was opened with any_order")
        if not self.has_begun:
            yield from self.begin()
        if self.result is not None:
            return
        if not 0 <= index < layer_count(self._layout):
            raise InvalidArgument("TOO_MANY_LAYERS", f"the layout has no layer {index}")
        run = run_of(self._layout, index)
        if not run.HasField("attention"):
            raise InvalidArgument("LAYOUT", f"layer {index} is not of the declared kind")
        self._check_kind(index, layer, run.attention)
        if not 0 <= first_token <= self._token_total - layer.row_count:
            raise InvalidArgument("BAD_RANGE", f"{layer.row_count} rows from {first_token} on are not within the "
                                               f"{self._token_total} of the prompt")
        if layer.score_input() is not None:
            yield from self._scores(index, layer)
        for tensor, rows in layer.row_tensors():
            yield from self._row_parts(index, tensor, payload_pb2.RANGE_KIND_TOKENS, rows, None, first_token)

    def put(self, layers: Sequence[AnyLayer]) -> Steps[PutResult]:
        """The whole put; where selection comes first, all scores travel before any rows."""
        yield from self.begin(layers)
        for layer in layers:
            if self.result is not None:
                break
            if self._request.select_then_send and isinstance(layer, Layer):
                self._held.append((self._take_index(layer), layer))
                yield from self._scores(*self._held[-1])
            else:
                yield from self.send_layer(layer)
        return (yield from self.commit())

    def commit(self) -> Steps[PutResult]:
        """Ends the put. Errors: FailedPrecondition (NOT_BEGUN)."""
        if not self.has_begun:
            raise FailedPrecondition("NOT_BEGUN", "no layer was sent")
        if self.result is None:
            yield from self._release(wait=True)
            yield put_pb2.PutCacheRequest(commit=put_pb2.Commit()).SerializeToString()
            response = yield from self._exchange(HALF_CLOSE)
            while not response.HasField("committed"):
                self._note(response)
                response = yield from self._receive()
            done = response.committed
            self.result = PutResult(
                entry_id=done.entry_id, key=done.key, fingerprint=done.fingerprint, variant=done.variant,
                durability=durability_name(done.durability), already_stored=done.already_stored,
                stored_bytes=done.stored_bytes, received_bytes=done.received_bytes,
                peak_staging_bytes=done.peak_staging_bytes, compaction_seconds=done.compaction_time_us / 1e6,
                entry_digest=done.entry_digest,
                compaction=Compaction.from_wire(done.compaction) if done.HasField("compaction") else None)
        if (yield None) is not None:
            raise DataLoss("MALFORMED_REPLY", "a message after the last")
        return self.result

    def _like(self, layer: AnyLayer) -> list[AnyLayer]:
        count = self._request.shard.resolved(self._request.model).layer_count
        return [layer] * count

    def _take_index(self, layer: AnyLayer) -> int:
        index = self._layer
        if self._is_complete:
            raise InvalidArgument("TOO_MANY_LAYERS", f"the layout has {index} layers")
        run = run_of(self._layout, index)
        if run.HasField("attention") != isinstance(layer, Layer):
            raise InvalidArgument("LAYOUT", f"layer {index} is not of the declared kind")
        if isinstance(layer, Layer):
            self._check_shape(index, layer, run.attention)
        self._layer += 1
        return index

    def _check_shape(self, index: int, layer: Layer, run: Any) -> None:
        self._check_kind(index, layer, run)
        rows = self._token_total
        if self._kept:
            rows = len(self._kept[self._group_index(index)])
        if layer.row_count != rows:
            raise InvalidArgument("LAYOUT", f"layer {index} has {layer.row_count} rows, not {rows}")

    def _check_kind(self, index: int, layer: Layer, run: Any) -> None:
        """Refuses a layer whose bytes would fit but mean something else."""
        given = layer.run(self._request.rope).attention
        for name in ("kv_head_count", "key_head_size", "value_head_size", "dtype", "value_dtype"):
            if getattr(given, name) != getattr(run, name) and not (name == "value_dtype" and run.value_head_size == 0):
                raise InvalidArgument("LAYOUT", f"layer {index} has another {name} than declared")

    def _group_index(self, layer: int) -> int:
        at = attention_index(self._layout, layer)
        for index, group in enumerate(self._begun.groups):
            if group.first_layer <= at < group.first_layer + group.layer_count:
                return index
        raise DataLoss("MALFORMED_REPLY", f"no group holds layer {layer}")

    def _is_scored(self, index: int) -> bool:
        if not self._scores_are_sent or self._begun.budget >= self._token_total:
            return False
        group = self._begun.groups[self._group_index(index)]
        return not group.HasField("leader") or group.leader == attention_index(self._layout, index)

    def _scores(self, index: int, layer: Layer) -> Steps[None]:
        """What the policy scores, where this layer takes part in a choice."""
        if not self._is_scored(index):
            return
        window = min(self._request.spec.effective_window_length, self._token_total)
        tensors = layer.score_tensors(window)
        if not tensors and self._token_total > window:
            raise InvalidArgument("SCORES_MISSING", f"layer {index} takes part in a choice and has nothing to score")
        for kind, data in tensors:
            yield from self._byte_parts(index, kind, data)

    def _tensors(self, index: int, layer: AnyLayer) -> Steps[None]:
        if isinstance(layer, VerbatimLayer):
            for name, data in layer.tensors.items():
                yield from self._byte_parts(index, payload_pb2.TENSOR_KIND_NAMED, data, name)
            return
        kind = payload_pb2.RANGE_KIND_KEPT_ROWS if self._kept else payload_pb2.RANGE_KIND_TOKENS
        for tensor, rows in layer.row_tensors():
            yield from self._row_parts(index, tensor, kind, rows, None)

    def _release(self, wait: bool) -> Steps[None]:
        """Sends the rows of held layers whose positions are known; with `wait`, of all whose choice can be made."""
        while self._held:
            index, layer = self._held[0]
            group = self._group_index(index)
            while group not in self._selections:
                last = self._begun.groups[group]
                is_scored = attention_index(self._layout, self._layer) >= last.first_layer + last.layer_count
                if not wait or not is_scored and not self._is_complete:
                    return
                self._note((yield from self._receive()))
            self._held.pop(0)
            for tensor, rows in layer.row_tensors():
                yield from self._row_parts(index, tensor, payload_pb2.RANGE_KIND_KEPT_ROWS, rows,
                                           self._selections[group])

    @property
    def _is_complete(self) -> bool:
        return self._layer == layer_count(self._layout)

    @property
    def _selection_waits_for_all(self) -> bool:
        """Under a guardrail that may raise the budget no selection is final before all scores are seen."""
        return (self._request.spec.on_low_mass or "fail") != "fail" and not self._is_complete

    def _note(self, response: Any) -> None:
        if response.HasField("selection"):
            selection = response.selection
            positions = None if selection.everything else np.array(selection.positions, np.int64)
            if positions is not None and (not len(positions) or positions[0] < 0 or positions[-1] >= self._token_total
                                          or bool((np.diff(positions) <= 0).any())):
                raise DataLoss("MALFORMED_REPLY", f"the selection of group {selection.group} is out of bounds")
            self._selections[selection.group] = positions

    def _byte_parts(self, layer: int, tensor: int, data: memoryview, name: str = "") -> Iterator[bytes]:
        """The bytes where they lie, or as parts of 1 MiB."""
        place = self._lent.slice_of_bytes(data) if self._lent else None
        if place is not None:
            self._has_lent = True
            yield encode_region_part(layer, tensor, payload_pb2.RANGE_KIND_BYTES, 0, len(data), place, name)
            return
        for begin in range(0, len(data), PART_BYTES):
            end = min(begin + PART_BYTES, len(data))
            yield encode_part(layer, tensor, payload_pb2.RANGE_KIND_BYTES, begin, end, data[begin:end], name)

    def _row_parts(self, layer: int, tensor: int, range_kind: int, rows: Rows, chosen: Array | None,
                   first: int = 0) -> Iterator[bytes]:
        """The rows, or the chosen ones, where they lie, or as parts of about 1 MiB: over the channel, or inline. first:
        the range's index of the first one."""
        count = len(rows) if chosen is None else len(chosen)
        place = self._lent.slice_of_rows(rows, chosen) if self._lent and not self._must_arrive else None
        if place is not None:
            self._has_lent = True
            yield encode_region_part(layer, tensor, range_kind, first, first + count, place)
            return
        step = max(1, PART_BYTES // (rows.shape[1] * rows.shape[2] * rows.itemsize))
        moment = self._channel.moment_of(rows) if self._channel else None
        for begin in range(0, count, step):
            end = min(begin + step, count)
            if self._channel is not None and moment is not None:
                yield self._channel.announce(layer, tensor, range_kind, begin, end, rows, chosen, moment, first)
                continue
            part = rows[begin:end] if chosen is None else rows[chosen[begin:end]]
            yield encode_part(layer, tensor, range_kind, first + begin, first + end, byte_view(part))

    @property
    def _must_arrive(self) -> bool:
        """A declared digest of all rows cannot be checked where only kept ones are read."""
        is_whole = bool(self._kept) or self._begun.budget >= self._token_total
        return bool(self._request.content_digest) and not is_whole

    def _exchange(self, message: bytes) -> Steps[Any]:
        yield message
        return (yield from self._receive())

    def _receive(self) -> Steps[Any]:
        response = yield None
        if response is None:
            raise DataLoss("INCOMPLETE_REPLY", "the stream ended before the put did")
        return response
