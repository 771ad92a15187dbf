"""One get as a machine without I/O: messages in, verified layers out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _enums
from ._arrays import NUMPY_DTYPES, Bytes
from ._arrivals import FIELDS, Arrival, ChannelTensor, InlineTensor, PlacedTensor, TensorName
from ._channel_transfers import ChannelGet
from ._frames import decode_get_header, decode_get_response
from ._layout import attention_index, attention_layer_count, layer_count, run_of
from ._places import Places
from .digests import combined_digest, tensor_digest
from .errors import DataLoss
from .identity import Shard
from .results import Compaction, EntryHeader, EntryLayer, Group
from .spec import CompactionSpec, ReuseGroup
from .v1 import get_pb2, payload_pb2

_KEYS, _NAMED = payload_pb2.TENSOR_KIND_KEYS, payload_pb2.TENSOR_KIND_NAMED
MAX_LAYERS = 1024  # of an entry, as the service has it


@dataclass(frozen=True)
class Expected:
    """What the reply must be of; None where the caller did not say."""

    fingerprint: bytes
    key: bytes
    variant: bytes | None
    entry_id: bytes | None
    exact: bool
    shard: Shard | None
    positions: str
    layers: range | None
    tokens: range | None


class GetReader:
    """Takes a get's messages in order; header is there after the first. The layers come inline; or they are written to
    `places`; or they come over `channel`, which has taken each message before; or the entry is to be mapped, and the
    header is all that comes."""

    def __init__(self, expected: Expected, places: Places | None = None, is_mapped: bool = False,
                 channel: ChannelGet | None = None):
        self._expected, self._places, self._is_mapped, self._channel = expected, places, is_mapped, channel
        self._mapping: Any = None
        self._incoming: list[Arrival] = []
        self._layer = 0
        self._committed: dict[TensorName, bytes] = {}
        self._runs: list[Any] = []
        self._group_of: list[int] = []
        self.header: EntryHeader | None = None

    def feed(self, raw: bytes) -> EntryLayer | None:
        """The layer that `raw` completed, if it did. Errors: DataLoss."""
        message, data = decode_get_response(raw)
        if isinstance(message, payload_pb2.Part):
            self._take_part(message, data)
            return None
        kind = message.WhichOneof("message")
        if (kind == "header") != (self.header is None):
            raise DataLoss("MALFORMED_REPLY", f"{kind or 'nothing'} out of order")
        if kind == "header":
            self._begin(message.header)
            return None
        if kind == "written" and self._places is not None:
            self._note_written(message.written.layer)
            return None
        if kind == "layer_end" and not self._is_mapped:
            return self._end_layer(message.layer_end)
        raise DataLoss("MALFORMED_REPLY", f"unexpected {kind or 'message'}")

    def take_header(self, raw: bytes) -> None:
        """Instead of feeding messages: a GetHeader that came alone. Errors: DataLoss."""
        self._begin(decode_get_header(raw))

    def finish(self) -> EntryHeader:
        """The stream ended OK. Errors: DataLoss where anything is missing."""
        if self.header is None or not self._is_mapped and self._layer != self.header.layer_range.stop:
            raise DataLoss("INCOMPLETE_REPLY", "the reply ended early")
        return self.header

    @property
    def mapping(self) -> Any:
        """Where the entry's memory is to be had. Errors: DataLoss."""
        if self._mapping is None:
            raise DataLoss("MALFORMED_REPLY", "the header names no mapping")
        return self._mapping

    def layers_of_mapping(self, memory: Bytes, verify: bool) -> tuple[EntryLayer, ...]:
        """All layers, as arrays over the entry's memory that are not to be written to. Errors: DataLoss."""
        assert self.header is not None
        offsets = {(item.layer, *_tensor_name(item)): item.offset_bytes for item in self.mapping.tensors}
        layers = []
        for layer in self.header.layer_range:
            arrivals: list[Arrival] = []
            for name, dtype, shape in self._shapes(layer):
                offset, size = offsets.get(name, -1), math.prod(shape) * dtype.itemsize
                if not 0 <= offset <= len(memory) - size or offset % dtype.itemsize:
                    raise DataLoss("MALFORMED_REPLY", f"layer {layer} is outside of its entry's memory")
                rows = memory[offset:offset + size].view(dtype).reshape(shape)
                rows.flags.writeable = False
                arrivals.append(PlacedTensor(name[1], name[2], rows, True))
            if verify:
                self._check_committed(layer, arrivals)
            layers.append(self._layer_of(layer, arrivals))
        return tuple(layers)

    def _begin(self, wire: Any) -> None:
        wanted = self._expected
        compaction = Compaction.from_wire(wire.compaction)
        mode = _enums.from_wire(get_pb2.PositionMode, "POSITION_MODE_", wire.position_mode) or "original"
        for name, is_right in (
                ("fingerprint", wire.fingerprint == wanted.fingerprint), ("key", wire.key == wanted.key),
                ("variant", wanted.variant is None or wire.variant == wanted.variant),
                ("entry id", wanted.entry_id is None or wire.entry_id == wanted.entry_id),
                ("policy", not wanted.exact or compaction.policy_applied == "full"),
                ("shard", wanted.shard is None or Shard.from_wire(wire.shard) == wanted.shard),
                ("position mode", mode == wanted.positions)):
            if not is_right:
                raise DataLoss("ANOTHER_ENTRY", f"the reply's {name} is not what was asked for")
        self._runs = list(wire.layout)
        self._check_runs()
        count = layer_count(self._runs)
        layers = range(wire.first_layer, wire.first_layer + wire.layer_count)
        if not 0 <= layers.start < layers.stop <= count or (wanted.layers or layers) != layers:
            raise DataLoss("MALFORMED_REPLY", f"layers [{layers.start}, {layers.stop}) of {count}")
        tokens = range(wire.first_token, wire.first_token + wire.served_tokens) if wire.served_tokens else None
        if tokens and not 0 <= tokens.start < tokens.stop <= wire.token_count or (wanted.tokens or tokens) != tokens:
            raise DataLoss("MALFORMED_REPLY", "another token range")
        self._committed = {(item.layer, *_tensor_name(item)): item.digest for item in wire.digests}
        self._layer = layers.start
        self.header = EntryHeader(
            entry_id=wire.entry_id, fingerprint=wire.fingerprint, shard=Shard.from_wire(wire.shard), key=wire.key,
            variant=wire.variant, spec=CompactionSpec.from_wire(wire.spec), compaction=compaction,
            original_length=wire.token_count, next_position=wire.next_position, positions_served=mode,
            groups=self._groups(wire), size_bytes=wire.size_bytes, created_unix_ms=wire.created_unix_ms,
            expires_unix_ms=wire.expires_unix_ms, entry_digest=wire.entry_digest, layer_range=layers,
            token_range=tokens)
        self._check_entry_digest()
        if self._is_mapped:
            self._mapping = wire.mapping if wire.HasField("mapping") else None
            return
        if self._places is not None:
            self._places.lay_out(wire.places)
        self._begin_layer()

    def _check_runs(self) -> None:
        next_layer = 0
        for run in self._runs:
            if run.first_layer != next_layer or run.layer_count < 1 or run.WhichOneof("kind") is None:
                raise DataLoss("MALFORMED_REPLY", "the layout has gaps")
            next_layer += run.layer_count
        if next_layer > MAX_LAYERS:
            raise DataLoss("MALFORMED_REPLY", f"{next_layer} layers, more than {MAX_LAYERS}")

    def _groups(self, wire: Any) -> tuple[Group, ...]:
        groups = []
        attention_layers = attention_layer_count(self._runs)
        for index, item in enumerate(wire.groups):
            if item.positions:
                positions = np.array(item.positions, np.int32)
                ascends = bool((np.diff(positions) > 0).all())
                if not ascends or positions[0] < 0 or positions[-1] >= wire.token_count:
                    raise DataLoss("MALFORMED_REPLY", f"positions of group {index} are not ascending token positions")
                if len(positions) != item.row_count:
                    raise DataLoss("MALFORMED_REPLY", f"group {index}: positions and rows differ in number")
            elif item.row_count == 0:
                positions = np.empty(0, np.int32)
            elif item.row_count == wire.token_count and item.row_count <= max(1, wire.size_bytes):
                positions = np.arange(wire.token_count, dtype=np.int32)
            else:
                raise DataLoss("MALFORMED_REPLY", f"group {index} has no positions")
            if item.row_count != wire.token_count and item.positions_digest != tensor_digest(positions):
                raise DataLoss("POSITIONS_DIGEST", f"positions of group {index} are not what was committed")
            if item.group.first_layer != len(self._group_of) or not 0 < item.group.layer_count <= attention_layers:
                raise DataLoss("MALFORMED_REPLY", f"group {index} is out of order")
            self._group_of += [index] * item.group.layer_count
            groups.append(Group(ReuseGroup.from_wire(item.group), item.row_count, positions))
        if len(self._group_of) != attention_layers:
            raise DataLoss("MALFORMED_REPLY", "the groups do not cover the attention layers")
        return tuple(groups)

    def _check_entry_digest(self) -> None:
        """The entry's digest is over its tensors' in the body's order: by falling alignment, then by layer."""
        assert self.header is not None
        tensors = [(dtype.itemsize, (layer, kind, name)) for layer in range(layer_count(self._runs))
                   for kind, name, dtype, _ in self._tensors(layer)]
        order = [name for _, name in sorted(tensors, key=lambda item: -item[0])]
        if set(order) != set(self._committed) or len(order) != len(self._committed):
            raise DataLoss("MALFORMED_REPLY", "digests and layout differ")
        if combined_digest(self._committed[name] for name in order) != self.header.entry_digest:
            raise DataLoss("ENTRY_DIGEST", "the tensors' digests do not make the entry's")

    def _tensors(self, layer: int) -> list[tuple[int, str, np.dtype[Any], tuple[int, ...]]]:
        """(TensorKind, name, dtype, shape of a row; or of the whole for NAMED) of a layer, in the order served."""
        run = run_of(self._runs, layer)
        if run.HasField("verbatim"):
            return [(_NAMED, tensor.name, np.dtype(np.uint8), (tensor.size_bytes,)) for tensor in run.verbatim.tensors]
        attention = run.attention
        try:
            key_dtype = NUMPY_DTYPES[attention.dtype]
            value_dtype = NUMPY_DTYPES[attention.value_dtype or attention.dtype]
            scale_dtype = NUMPY_DTYPES[attention.scales.dtype] if attention.HasField("scales") else None
        except KeyError as error:
            raise DataLoss("MALFORMED_REPLY", f"unknown dtype {error}") from error
        heads, has_values = attention.kv_head_count, attention.value_head_size > 0
        if heads < 1 or attention.key_head_size < 1 or attention.value_head_size < 0:
            raise DataLoss("MALFORMED_REPLY", "a dimension is not positive")
        tensors: list[tuple[int, str, np.dtype[Any], tuple[int, ...]]] = [
            (_KEYS, "", key_dtype, (heads, attention.key_head_size))]
        if has_values:
            tensors.append((payload_pb2.TENSOR_KIND_VALUES, "", value_dtype, (heads, attention.value_head_size)))
        if scale_dtype is not None:
            row = (heads, attention.scales.scales_per_head)
            tensors.append((payload_pb2.TENSOR_KIND_KEY_SCALES, "", scale_dtype, row))
            if has_values:
                tensors.append((payload_pb2.TENSOR_KIND_VALUE_SCALES, "", scale_dtype, row))
        return tensors

    def _group(self, layer: int) -> Group | None:
        """The group of an attention layer."""
        assert self.header is not None
        if run_of(self._runs, layer).HasField("verbatim"):
            return None
        return self.header.groups[self._group_of[attention_index(self._runs, layer)]]

    def _shapes(self, layer: int) -> list[tuple[TensorName, np.dtype[Any], tuple[int, ...]]]:
        """(name, dtype, shape as served) of a layer's tensors, in the order served. Errors: DataLoss."""
        assert self.header is not None
        group = self._group(layer)
        shapes = []
        for kind, name, dtype, row in self._tensors(layer):
            shape = row if group is None else (len(self.header.token_range or range(group.row_count)), *row)
            if math.prod(shape) * dtype.itemsize > self.header.size_bytes:
                raise DataLoss("MALFORMED_REPLY", f"layer {layer} is larger than its entry")
            shapes.append(((layer, kind, name), dtype, shape))
        return shapes

    def _begin_layer(self) -> None:
        assert self.header is not None
        self._incoming = []
        if self._layer == self.header.layer_range.stop:
            return
        first = 0
        if self.header.token_range is not None and self._group(self._layer) is not None:
            first = self.header.token_range.start
        for name, dtype, shape in self._shapes(self._layer):
            if self._places is not None:
                place = self._places.rows(name, dtype, shape)
                self._incoming.append(PlacedTensor(name[1], name[2], place, False))
                continue
            row_bytes = math.prod(shape[1:]) * dtype.itemsize
            size, uint8 = shape[0] * row_bytes, np.dtype(np.uint8)
            buffer = np.empty(size, uint8) if self._channel is None else self._channel.empty(size, uint8)
            kind = InlineTensor if self._channel is None else ChannelTensor
            self._incoming.append(kind(name[1], name[2], buffer, dtype, shape, row_bytes, first, first,
                                       first + shape[0]))

    def _note_written(self, layer: int) -> None:
        if self.header is None or layer != self._layer:
            raise DataLoss("MALFORMED_REPLY", f"layer {layer} was written out of order")
        for arrival in self._incoming:
            if isinstance(arrival, PlacedTensor):
                arrival.is_complete = True

    def _take_part(self, part: Any, data: memoryview | None) -> None:
        if self.header is None or part.layer != self._layer:
            raise DataLoss("MALFORMED_REPLY", f"a part of layer {part.layer} out of order")
        if (data is None) != (self._channel is not None):
            raise DataLoss("MALFORMED_REPLY", f"a part of layer {part.layer} came another way than was asked for")
        taken = data if self._channel is None else self._channel.bytes_of(part.payload.nccl)
        for incoming in self._incoming:
            if isinstance(incoming, InlineTensor) and (incoming.kind, incoming.name) == (part.tensor, part.name):
                return incoming.take(part, taken)
        raise DataLoss("MALFORMED_REPLY", f"layer {part.layer} has no tensor {part.tensor} {part.name}")

    def _end_layer(self, end: Any) -> EntryLayer:
        assert self.header is not None
        layer, header = self._layer, self.header
        if end.layer != layer or not self._incoming and layer >= header.layer_range.stop:
            raise DataLoss("MALFORMED_REPLY", f"the end of layer {end.layer} where {layer} is open")
        served = {_tensor_name(item): item.digest for item in end.digests}
        for incoming in self._incoming:
            if not incoming.is_complete:
                raise DataLoss("INCOMPLETE_REPLY", f"layer {layer} ends early")
            digest = tensor_digest(incoming.data())
            as_committed = header.token_range is None and (
                incoming.kind != _KEYS or header.positions_served == "original")
            if digest != served.get((incoming.kind, incoming.name)) or (
                    as_committed and digest != self._committed[layer, incoming.kind, incoming.name]):
                raise _wrong_digest(layer, incoming)
        done = self._layer_of(layer, self._incoming)
        self._layer += 1
        self._begin_layer()
        return done

    def _check_committed(self, layer: int, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            if tensor_digest(arrival.data()) != self._committed[layer, arrival.kind, arrival.name]:
                raise _wrong_digest(layer, arrival)

    def _layer_of(self, layer: int, arrivals: list[Arrival]) -> EntryLayer:
        assert self.header is not None
        group = self._group(layer)
        if group is None:
            return EntryLayer(layer, tensors={arrival.name: arrival.rows() for arrival in arrivals})
        arrays: dict[str, Any] = {FIELDS[arrival.kind]: arrival.rows() for arrival in arrivals}
        positions = group.positions
        if self.header.token_range is not None:
            positions = np.arange(self.header.token_range.start, self.header.token_range.stop, dtype=np.int32)
        return EntryLayer(layer, positions=positions, **arrays)


def _wrong_digest(layer: int, arrival: Arrival) -> DataLoss:
    return DataLoss("TENSOR_DIGEST", f"layer {layer}, tensor {FIELDS.get(arrival.kind, arrival.name)}")


def _tensor_name(item: Any) -> tuple[int, str]:
    return item.tensor, item.name if item.tensor == _NAMED else ""
