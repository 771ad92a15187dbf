"""The messages of one put or one get on a channel, told by what comes on its stream: looked at as it comes, since
others' messages wait behind these."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

import numpy as np

from . import errors
from ._arrays import Array
from ._channel_rank import ChannelRank, Message
from ._device_rows import DeviceRows
from ._frames import decode_get_response, decode_put_response, encode_channel_part
from .paged import PagedRows, Rows
from .v1 import payload_pb2

_CHANNEL_REASONS = {"CHANNEL_NOT_FOUND", "CHANNEL_CLOSED", "CHANNEL_TIMEOUT", "PEER_LOST", "TRANSFER_TIMEOUT",
                    "TRANSFER_CANCELLED", "NCCL_ERROR", "CUDA_ERROR", "DEVICE_STUCK"}
_PartName = tuple[int, int, int, str]


class ChannelTransfer:
    """Of one put or get. Thread-safe."""

    def __init__(self, rank: ChannelRank, device: Any, channel_id: bytes):
        self._rank, self._device, self.channel_id = rank, device, channel_id

    def take(self, raw: bytes) -> bool:
        """Does what the message asks the channel for; whether that was all of it. Errors: the channel's, DataLoss."""
        raise NotImplementedError

    @property
    def _is_in_doubt(self) -> bool:
        """Whether the server may wait for a message that nobody will ask for here."""
        raise NotImplementedError

    def end(self, error: errors.Error | None = None) -> errors.Error | None:
        """The stream has ended, or nobody reads it any more; what to raise for `error`. Where a message is in doubt, or the
        channel was the cause, the channel ends too."""
        known = self._rank.failure if isinstance(error, (errors.Cancelled, errors.Unavailable)) else None
        if self._is_in_doubt or error is not None and error.reason in _CHANNEL_REASONS:
            if isinstance(error, errors.Unavailable):
                failure: errors.Error = errors.Unavailable(error.reason or "PEER_LOST", error.message)
            else:
                failure = errors.Unavailable("TRANSFER_CANCELLED", "a put or get on the channel ended early")
            self._rank.fail(failure)
            if isinstance(error, errors.Unavailable):
                error = failure
        return known or error

    def finish(self) -> errors.Error | None:
        """The stream ended as it should."""
        return self.end()


class ChannelPut(ChannelTransfer):
    """Announces parts, and sends each when the server is ready for it."""

    def __init__(self, rank: ChannelRank, device: Any, channel_id: bytes):
        super().__init__(rank, device, channel_id)
        self._lock = threading.Lock()
        self._announced: dict[_PartName, Message] = {}

    def moment_of(self, rows: Rows) -> Any:
        """What the rows' bytes are there after; None where they are not on the channel's device."""
        tensor = _tensor_of(rows)
        if tensor is None or tensor.device != self._device.device:
            return None
        return self._device.moment()

    def announce(self, layer: int, tensor: int, range_kind: int, begin: int, end: int, rows: Rows,
                 chosen: Array | None, moment: Any, first: int = 0) -> bytes:
        """The message that announces rows [begin, end), or those of the chosen ones, from the range's `first` on."""
        message = Message(True, lambda: _bytes_of(rows, begin, end, chosen), moment)
        with self._lock:
            self._announced[layer, tensor, first + begin, ""] = message
        size = (end - begin) * rows.shape[1] * rows.shape[2] * rows.itemsize
        return encode_channel_part(layer, tensor, range_kind, first + begin, first + end, self.channel_id, size)

    def take(self, raw: bytes) -> bool:
        response = decode_put_response(raw)
        if not response.HasField("ready"):
            return False
        ready = response.ready
        with self._lock:
            message = self._announced.pop((ready.layer, ready.tensor, ready.begin, ready.name), None)
        if message is None or ready.channel_id != self.channel_id:
            raise errors.DataLoss("MALFORMED_REPLY", f"ready for what was not announced, of layer {ready.layer}")
        self._rank.tell(ready.sequence, message)
        return True

    @property
    def _is_in_doubt(self) -> bool:
        with self._lock:
            return bool(self._announced)


class ChannelGet(ChannelTransfer):
    """Receives parts into buffers of the device."""

    def __init__(self, rank: ChannelRank, device: Any, channel_id: bytes):
        super().__init__(rank, device, channel_id)
        self._landing: dict[int, Future[Any]] = {}
        self._has_header = self._is_over = False

    def take(self, raw: bytes) -> bool:
        message, _ = decode_get_response(raw)
        self._has_header = True
        if isinstance(message, payload_pb2.Part) and message.payload.HasField("nccl"):
            transfer = message.payload.nccl
            if transfer.channel_id != self.channel_id or transfer.length_bytes < 1:
                raise errors.DataLoss("MALFORMED_REPLY", "a part of another channel")
            received = Message(False, lambda: self.empty(transfer.length_bytes, np.dtype(np.uint8)))
            self._landing[transfer.sequence] = received.landed
            self._rank.tell(transfer.sequence, received)
        return False

    def empty(self, count: int, dtype: np.dtype[Any]) -> Any:
        """A tensor of the device, of NumPy's dtype."""
        import torch

        from ._arrays import torch_dtype

        return torch.empty(count, dtype=torch_dtype(dtype), device=self._device.device)

    def bytes_of(self, transfer: payload_pb2.NcclTransfer) -> Any:
        """The uint8 tensor of a part that was taken; waits until it is there. Errors: the channel's."""
        tensor = self._landing.pop(transfer.sequence).result()
        self._device.hand_over(tensor)
        return tensor

    def finish(self) -> errors.Error | None:
        self._is_over = True
        return super().finish()

    @property
    def _is_in_doubt(self) -> bool:
        return self._has_header and not self._is_over


def _tensor_of(rows: Rows) -> Any:
    """None where the rows are not on a device."""
    held = rows.blocks if isinstance(rows, PagedRows) else rows
    return held.tensor if isinstance(held, DeviceRows) else None


def _bytes_of(rows: Rows, begin: int, end: int, chosen: Array | None) -> Any:
    """A contiguous uint8 tensor: of the rows itself where they lie so."""
    import torch

    tensor = _tensor_of(rows)
    if chosen is None and not isinstance(rows, PagedRows):
        part = tensor[begin:end]
    else:
        numbers = np.arange(begin, end) if chosen is None else chosen[begin:end]
        if isinstance(rows, PagedRows):
            slots, size = rows.first_slot + numbers, tensor.shape[1]
            index = (rows.block_ids[slots // size], slots % size)
        else:
            index = (numbers,)
        part = tensor[tuple(torch.as_tensor(one, device=tensor.device) for one in index)]
    return part.contiguous().reshape(-1).view(torch.uint8)
