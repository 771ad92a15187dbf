"""Bulk messages without needless copies: payload bytes come last in every message that carries them, so a part is its
encoded head followed by the array's own bytes, and a received part is read where it lies."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from .digests import part_checksum
from .errors import DataLoss
from .v1 import get_pb2, payload_pb2, put_pb2

_BYTES_FIELD = 15  # `part` of both streams, `payload` of Part, `inline` of TensorPayload
_BYTES_TAG = bytes([_BYTES_FIELD << 3 | 2])


def encode_part(layer: int, tensor: int, range_kind: int, begin: int, end: int, data: Any, name: str = "") -> bytes:
    """A PutCacheRequest with this part. data: the bytes, copied once."""
    payload = payload_pb2.TensorPayload(checksum=part_checksum(data)).SerializeToString()
    payload += _BYTES_TAG + _varint(len(data))
    part = payload_pb2.Part(layer=layer, tensor=tensor, name=name, range=range_kind, begin=begin, end=end)
    head = part.SerializeToString() + _BYTES_TAG + _varint(len(payload) + len(data)) + payload
    return b"".join((_BYTES_TAG, _varint(len(head) + len(data)), head, data))


def encode_region_part(layer: int, tensor: int, range_kind: int, begin: int, end: int,
                       place: payload_pb2.RegionSlice, name: str = "") -> bytes:
    """A PutCacheRequest with a part that lies in a region."""
    part = payload_pb2.Part(layer=layer, tensor=tensor, name=name, range=range_kind, begin=begin, end=end,
                            payload=payload_pb2.TensorPayload(region=place))
    return bytes(put_pb2.PutCacheRequest(part=part).SerializeToString())


def encode_channel_part(layer: int, tensor: int, range_kind: int, begin: int, end: int, channel_id: bytes,
                        size_bytes: int) -> bytes:
    """A PutCacheRequest with a part that comes over a channel."""
    payload = payload_pb2.TensorPayload(nccl=payload_pb2.NcclTransfer(channel_id=channel_id, length_bytes=size_bytes))
    part = payload_pb2.Part(layer=layer, tensor=tensor, range=range_kind, begin=begin, end=end, payload=payload)
    return bytes(put_pb2.PutCacheRequest(part=part).SerializeToString())


def decode_put_response(raw: bytes) -> put_pb2.PutCacheResponse:
    return _decode(put_pb2.PutCacheResponse, raw)


def decode_get_response(raw: bytes) -> tuple[get_pb2.GetCacheResponse | payload_pb2.Part, memoryview | None]:
    """A message and None, or a part without its bytes, and these: verified, a view into `raw`. A part that comes over a
    channel has none, and its payload says so.

    Errors: DataLoss (MALFORMED_REPLY, PART_CHECKSUM).
    """
    rest, part = _take_bytes_field(memoryview(raw))
    if part is None:
        return _decode(get_pb2.GetCacheResponse, raw), None
    head, payload = _take_bytes_field(part)
    if payload is None:
        raise DataLoss("MALFORMED_REPLY", "a part without payload")
    payload_head, data = _take_bytes_field(payload)
    message, carrier = _decode(payload_pb2.Part, head), _decode(payload_pb2.TensorPayload, payload_head)
    if carrier.HasField("nccl") and data is None:
        message.payload.CopyFrom(carrier)
        return message, None
    if data is None:
        raise DataLoss("MALFORMED_REPLY", "a part without inline bytes")
    if part_checksum(data) != carrier.checksum:
        raise DataLoss("PART_CHECKSUM", f"layer {message.layer}, [{message.begin}, {message.end})")
    return message, data


def decode_get_header(raw: bytes) -> get_pb2.GetHeader:
    return _decode(get_pb2.GetHeader, raw)


def _decode(kind: Any, raw: bytes) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise DataLoss("MALFORMED_REPLY", str(error)) from error


def _take_bytes_field(message: memoryview) -> tuple[bytes, memoryview | None]:
    """The message without its field 15, and that field's bytes (None where absent)."""
    rest, taken, at = [], None, 0
    while at < len(message):
        start = at
        tag, at = _read_varint(message, at)
        wire_type = tag & 7
        if wire_type == 0:
            _, at = _read_varint(message, at)
        elif wire_type == 1:
            at += 8
        elif wire_type == 5:
            at += 4
        elif wire_type == 2:
            size, at = _read_varint(message, at)
            at += size
        else:
            raise DataLoss("MALFORMED_REPLY", f"wire type {wire_type}")
        if at > len(message):
            raise DataLoss("MALFORMED_REPLY", "a field past the end")
        if tag == _BYTES_TAG[0]:
            taken = message[at - size:at]
        else:
            rest.append(message[start:at])
    return b"".join(rest), taken


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
    raise DataLoss("MALFORMED_REPLY", "a broken varint")
