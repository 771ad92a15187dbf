"""The GPU of a channel, and the stream that the channel's messages are on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from .errors import InvalidArgument


class ChannelDevice:
    """A GPU as torch knows it. Marks and moments are events of CUDA."""

    def __init__(self, device: Any):
        import torch

        self._torch, self.device = torch, torch.device(device)
        if self.device.type != "cuda":
            raise InvalidArgument("NOT_ON_DEVICE", f"a channel is of a GPU, not of {self.device}")
        if self.device.index is None:
            self.device = torch.device("cuda", torch.cuda.current_device())
        self._stream = torch.cuda.Stream(self.device)
        self.handle: int = self._stream.cuda_stream

    def make_current(self) -> None:
        """For the calling thread, for good."""
        self._torch.cuda.set_device(self.device)

    def moment(self) -> Any:
        """What the caller's current stream has been asked for so far."""
        return self._torch.cuda.current_stream(self.device).record_event()

    def after(self, moment: Any) -> AbstractContextManager[Any]:
        """What torch does within the context is on the channel's stream, behind the moment (None: at once)."""
        if moment is not None:
            self._stream.wait_event(moment)
        context: AbstractContextManager[Any] = self._torch.cuda.stream(self._stream)
        return context

    def set_mark(self) -> Any:
        """Behind what is on the channel's stream."""
        return self._stream.record_event()

    def has_passed(self, mark: Any) -> bool:
        return bool(mark.query())

    def hand_over(self, tensor: Any) -> None:
        """The caller's current stream uses a tensor that was made on the channel's."""
        tensor.record_stream(self._torch.cuda.current_stream(self.device))


def open_device(device: Any) -> Any:
    """Errors: InvalidArgument (NOT_ON_DEVICE)."""
    return ChannelDevice(device)
