"""Whether NCCL's sends and receives do on one GPU what channels ask of them.

    python nccl_on_cuda.py [--device cuda:0] [--library PATH] [--most-bytes 67108867]

One rank that sends to itself; then two processes on the one GPU, by NCCL_MULTI_RANK_GPU_ENABLE from NCCL 2.30 on,
before that as two hosts (NCCL_HOSTID), over sockets. Prints a line for each that says which way it ran; the status is 1 where
bytes are wrong or a rank fails, and 77 where torch or NCCL is missing.
"""

import argparse
import os
import subprocess
import sys
import time

try:
    import torch

    import nccl_peer
except ImportError as error:
    print(f"cannot run here: {error}")
    sys.exit(77)

SIZES = (1, 1023, (1 << 20) + 1)  # bytes, beside the largest
FIRST_WITH_MULTI_RANK_GPU = 23000


def one_rank(nccl, device, sizes):
    rank = nccl_peer.Rank(nccl, nccl.make_unique_id(), 0, 1, device)
    for size in sizes:
        sent = nccl_peer.pattern(size, 3, device)
        received = torch.zeros_like(sent)
        begin = time.perf_counter()
        rank.exchange(sent, received, 0)
        seconds = time.perf_counter() - begin
        if not torch.equal(sent, received):
            raise RuntimeError(f"{size} bytes to itself: wrong")
    rank.close()
    return f"one rank to itself: ok, {sizes[-1] / seconds / 1e9:.1f} GB/s"


def two_processes(nccl, device, sizes, library):
    unique_id = nccl.make_unique_id()
    command = [sys.executable, nccl_peer.__file__, "--unique-id", unique_id.hex(), "--device", device]
    if library:
        command += ["--library", library]
    is_multi_rank = nccl.version >= FIRST_WITH_MULTI_RANK_GPU
    environment = dict(os.environ, NCCL_HOSTID="peer") if not is_multi_rank else os.environ
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as peer:
        try:
            rank = nccl_peer.Rank(nccl, unique_id, 0, 2, device)
            answer(peer, "joined")
            for seed, size in enumerate(sizes):
                expected = nccl_peer.pattern(size, seed, device)
                ask(peer, f"send {size} {seed}")
                received = torch.zeros_like(expected)
                rank.receive(received, 1)
                answer(peer, "ok")
                if not torch.equal(received, expected):
                    raise RuntimeError(f"{size} bytes from the peer: wrong")
                ask(peer, f"receive {size} {seed}")
                rank.send(expected, 1)
                answer(peer, "ok")
            peer.stdin.close()
            rank.close()
        except BaseException:
            peer.kill()
            raise
    way = "NCCL_MULTI_RANK_GPU_ENABLE" if is_multi_rank else "two NCCL_HOSTIDs, over sockets"
    return f"two processes on one GPU, by {way}: ok"


def ask(peer, line):
    print(line, file=peer.stdin, flush=True)


def answer(peer, expected):
    line = peer.stdout.readline()
    if not line.startswith(expected):
        raise RuntimeError(f"the peer said {line.strip()!r}, not {expected!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--library")
    parser.add_argument("--most-bytes", type=int, default=(64 << 20) + 3)
    arguments = parser.parse_args()
    # NCCL reads them once, at its first communicator.
    os.environ.setdefault("NCCL_MULTI_RANK_GPU_ENABLE", "1")
    os.environ.setdefault("NCCL_HOSTID", "here")
    try:
        nccl = nccl_peer.Nccl(arguments.library)
    except OSError as error:
        print(f"cannot run here: {error}")
        sys.exit(77)
    print(f"NCCL {nccl.version}")
    sizes = (*SIZES, arguments.most_bytes)
    print(one_rank(nccl, arguments.device, sizes))
    print(two_processes(nccl, arguments.device, sizes, arguments.library))


if __name__ == "__main__":
    main()
