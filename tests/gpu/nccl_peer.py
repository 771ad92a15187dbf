"""A rank of an NCCL communicator on a torch device, by ctypes: what the worker's side of a channel does.

    python nccl_peer.py --unique-id HEX [--device cuda:0] [--library PATH]

Joins as rank 1 of 2 and prints `joined VERSION`; then does what its standard input says, in that order, and prints a
line for each: `ok`, or `wrong` where other bytes came.

    send BYTES SEED
    receive BYTES SEED

Bytes are those of `pattern(size, seed)`. It ends with its input, or by being killed: then the other side has to notice.
"""

import argparse
import ctypes
import sys

import torch

UINT8 = 1  # ncclUint8


class UniqueId(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint8 * 128)]


def pattern(size, seed, device):
    return ((torch.arange(size, dtype=torch.int64, device=device) * 7 + seed) % 251).to(torch.uint8)


class Nccl:
    """The library that torch has brought with it, or the one at `path`."""

    def __init__(self, path=None):
        self._library = ctypes.CDLL(path or "libnccl.so.2")
        self._library.ncclGetErrorString.restype = ctypes.c_char_p

    def call(self, name, *arguments):
        result = getattr(self._library, name)(*arguments)
        if result != 0:
            raise RuntimeError(f"{name}: {self._library.ncclGetErrorString(result).decode()}")

    @property
    def version(self):
        """As ncclGetVersion: 22707 is 2.27.7."""
        version = ctypes.c_int()
        self.call("ncclGetVersion", ctypes.byref(version))
        return version.value

    def make_unique_id(self):
        made = UniqueId()
        self.call("ncclGetUniqueId", ctypes.byref(made))
        return bytes(made.bytes)


class Rank:
    """One rank; calls that wait for the other one return when the device has done them."""

    def __init__(self, nccl, unique_id, rank, rank_count, device):
        self._nccl, self._device, self._comm = nccl, torch.device(device), ctypes.c_void_p()
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
        nccl.call("ncclCommInitRank", ctypes.byref(self._comm), rank_count, UniqueId.from_buffer_copy(unique_id), rank)

    def send(self, tensor, peer):
        self._run([("ncclSend", tensor, peer)])

    def receive(self, tensor, peer):
        self._run([("ncclRecv", tensor, peer)])

    def exchange(self, sent, received, peer):
        """Both at once; the only way to send to oneself."""
        self._run([("ncclSend", sent, peer), ("ncclRecv", received, peer)])

    def close(self):
        self._nccl.call("ncclCommDestroy", self._comm)

    def _run(self, operations):
        stream = torch.cuda.current_stream(self._device).cuda_stream if self._device.type == "cuda" else None
        self._nccl.call("ncclGroupStart")
        for name, tensor, peer in operations:
            self._nccl.call(name, ctypes.c_void_p(tensor.data_ptr()), ctypes.c_size_t(tensor.numel()), UINT8, peer,
                            self._comm, ctypes.c_void_p(stream))
        self._nccl.call("ncclGroupEnd")
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def obey(rank, line, device):
    verb, size, seed = line.split()
    expected = pattern(int(size), int(seed), device)
    if verb == "send":
        rank.send(expected, 0)
        return "ok"
    if verb != "receive":
        raise ValueError(f"no such command: {verb}")
    received = torch.zeros_like(expected)
    rank.receive(received, 0)
    return "ok" if torch.equal(received, expected) else "wrong"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unique-id", required=True, type=bytes.fromhex)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--library")
    arguments = parser.parse_args()
    nccl = Nccl(arguments.library)
    rank = Rank(nccl, arguments.unique_id, 1, 2, arguments.device)
    print(f"joined {nccl.version}", flush=True)
    for line in sys.stdin:
        print(obey(rank, line, arguments.device), flush=True)
    rank.close()


if __name__ == "__main__":
    main()
