"""The host in the place of a channel's GPU: streams of the library that stands in for NCCL (host_nccl.cc), tensors of the
host that count as on a device."""

import contextlib
import ctypes

import torch


class HostGpu:
    """What chunkkv._channel_device.ChannelDevice is."""

    device = torch.device("cpu")

    def __init__(self, library):
        self._library = ctypes.CDLL(str(library))
        self._library.HostStreamMake.restype = ctypes.c_void_p
        self._library.HostStreamMark.restype = ctypes.c_int64
        self.handle = self._library.HostStreamMake()

    def make_current(self):
        pass

    def moment(self):
        return "now"

    def after(self, moment):
        return contextlib.nullcontext()

    def set_mark(self):
        return self._library.HostStreamMark(ctypes.c_void_p(self.handle))

    def has_passed(self, mark):
        return self._library.HostStreamHasPassed(ctypes.c_void_p(self.handle), ctypes.c_int64(mark)) == 1

    def hand_over(self, tensor):
        pass


class HostGpuMemory:
    """Tensors that count as on a GPU."""

    def __init__(self):
        self._spans, self._kept = [], []

    def copy(self, value):
        tensor = torch.as_tensor(value).clone()
        self._kept.append(tensor)
        self._spans.append((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes))
        return tensor

    def has(self, value):
        return isinstance(value, torch.Tensor) and any(
            begin <= value.data_ptr() < end for begin, end in self._spans)
