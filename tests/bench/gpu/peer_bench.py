"""Times what people use today, on the shapes that the kernels' benchmark was run on.

    python peer_bench.py [--like lines.jsonl] [--device cuda] [--deadline 120] >> lines.jsonl

--like takes the names of the figures in a file; without it, or where it has none, those of `DEFAULT_NAMES`. Prints one
JSON object a figure as soon as it is measured (lines.py). Figures that the deadline, the device or a dtype
leaves out are named on standard error; then the status is 1.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from gpu.lines import Line, first_line, print_lines, read_lines
from gpu.peers import kvpress_steps, vectorised
from gpu.peers.selection import topk_sort
from gpu.prompt import BLOCK_TOKENS, TORCH_DTYPES, make_prompt, paged
from gpu.shapes import BENCHES, CHUNK_LENGTH, parse_shape
from gpu.timing import time_repeats

DEFAULT_NAMES = [f"{bench}/llama8b/{tokens}/0.3/32/1/token_major/BF16" for tokens in (8192, 32768, 131072)
                 for bench in ("score_lse", "request")] + [
    "score_chunk/llama8b/32768/0.3/32/1/token_major/BF16", "score_two_pass/llama8b/32768/0.3/32/1/token_major/BF16",
    "score_lse/llama70b/8192/0.3/32/1/token_major/BF16", "select/llama8b/131104/0.3/32/1/token_major/BF16",
    *(f"gather/llama8b/32768/0.3/32/1/{layout}/BF16" for layout in ("token_major", "head_major", "paged")),
    "to_host/llama8b/32768/0.3/32/1/token_major/BF16"]
SECONDS, LEAST_REPEATS, LEAST_OF_KVPRESS = 1.0, 5, 3
HOST_PIECE_BYTES = 1 << 30


class Skip(Exception):
    """Why a peer does not run a shape."""


class Prompts:
    """Makes prompts; holds one, since two may not fit."""

    def __init__(self, device):
        self._device, self._key, self._prompt = device, None, None

    def of(self, shape, head_major=False):
        if shape.dtype not in TORCH_DTYPES:
            raise Skip(f"no product of {shape.dtype} in PyTorch")
        key = (shape.model_name, shape.tokens, shape.window, shape.dtype, head_major)
        if key != self._key:
            self._key = self._prompt = None
            self._prompt = make_prompt(shape, self._device, head_major)
            self._key = key
        return self._prompt


def scoring(shape, prompts):
    prompt = prompts.of(shape, shape.layout == "head_major")
    lse = prompt.lse[::shape.reuse] if shape.bench == "score_lse" else None
    queries, keys = prompt.queries[::shape.reuse], prompt.keys_by_head()[::shape.reuse]
    return lambda: vectorised.score(queries, keys, lse)


def choosing(shape, prompts):
    prompt = prompts.of(shape, shape.layout == "head_major")
    scores = vectorised.score(prompt.queries, prompt.keys_by_head(), prompt.lse)
    return lambda: vectorised.select(scores, shape.budget - shape.window, CHUNK_LENGTH, shape.window)


def choosing_chunks(shape, prompts):
    scores = torch.rand(shape.model.layers, shape.chunks, device=prompts.of(shape).keys.device)
    count = min(shape.chunks, -(-(shape.budget - shape.window) // CHUNK_LENGTH))
    return lambda: topk_sort(scores, count)


def gathering(shape, prompts):
    prompt = prompts.of(shape, shape.layout == "head_major")
    scores = vectorised.score(prompt.queries, prompt.keys_by_head(), prompt.lse)
    positions = vectorised.select(scores, shape.budget - shape.window, CHUNK_LENGTH, shape.window)
    if shape.layout != "paged":
        gather = vectorised.gather_head_major if prompt.head_major else vectorised.gather_token_major
        return lambda: [gather(rows, positions) for rows in (prompt.keys, prompt.values)]
    if shape.tokens % BLOCK_TOKENS:
        raise Skip(f"{shape.tokens} tokens are no whole blocks")
    caches = [paged(rows) for rows in (prompt.keys, prompt.values)]
    return lambda: [vectorised.gather_paged(*cache, positions) for cache in caches]


def whole_request(shape, prompts):
    if shape.layout == "paged":
        raise Skip("not written for paged caches")
    prompt = prompts.of(shape, shape.layout == "head_major")
    lse = prompt.lse if shape.bench == "request" else None
    return lambda: vectorised.compact(prompt.queries, prompt.keys, prompt.values, lse, shape.budget - shape.window,
                                      CHUNK_LENGTH, shape.reuse, prompt.head_major)


def kvpress_request(shape, prompts):
    """On [Hkv, L, D], as transformers hold KV, whatever the shape's layout; kvpress takes no LSE and reuses nothing."""
    prompt = prompts.of(shape, head_major=True)
    return lambda: kvpress_steps.compact(prompt.queries, prompt.keys, prompt.values, shape.keep, shape.window,
                                         CHUNK_LENGTH)


def full_copy(shape, prompts):
    """All of K and V into pinned memory, in pieces of at most 1 GiB that land in the same place."""
    prompt = prompts.of(shape, shape.layout == "head_major")
    pieces = [piece for rows in (prompt.keys, prompt.values) for piece in rows.view(torch.uint8).flatten().split(
        HOST_PIECE_BYTES)]
    target = torch.empty(pieces[0].numel(), dtype=torch.uint8, pin_memory=pieces[0].is_cuda)
    return lambda: [target[:piece.numel()].copy_(piece, non_blocking=True) for piece in pieces]


PEERS = {"score_lse": {"vectorised": scoring}, "score_chunk": {"vectorised": scoring},
         "score_two_pass": {"vectorised": scoring}, "select": {"topk_sort": choosing_chunks, "vectorised": choosing},
         "gather": {"index_select": gathering}, "request": {"vectorised": whole_request, "kvpress": kvpress_request},
         "request_no_lse": {"vectorised": whole_request, "kvpress": kvpress_request},
         "to_host": {"full_copy": full_copy}}
"""By bench and peer: what makes of a shape and Prompts the work to time. Errors: Skip."""


def jobs_of(names):
    """[(Shape, peer)]: those on the same prompt beside one another, kvpress last, since it takes longest."""
    shapes = sorted({str(shape): shape for shape in map(parse_shape, names)}.values(),
                    key=lambda shape: (shape.tokens, shape.model_name, shape.window, shape.dtype,
                                       shape.layout == "head_major", str(shape)))
    jobs = [(shape, peer) for shape in shapes for peer in PEERS[shape.bench]]
    return sorted(jobs, key=lambda job: job[1] == "kvpress")


def measure(jobs, device, deadline, seconds=SECONDS):
    """Yields Lines, and texts of what was left out. deadline: by time.monotonic()."""
    prompts = Prompts(device)
    for shape, peer in jobs:
        if time.monotonic() > deadline:
            yield f"{peer}, {shape}: no time was left"
            continue
        try:
            body = PEERS[shape.bench][peer](shape, prompts)
            timing = time_repeats(body, device, seconds, LEAST_OF_KVPRESS if peer == "kvpress" else LEAST_REPEATS)
            yield Line(BENCHES[shape.bench], str(shape), timing.median_ms, timing.spread, timing.repeats, peer=peer)
        except Skip as reason:
            yield f"{peer}, {shape}: {reason}"
        except RuntimeError as error:  # out of memory, say
            yield f"{peer}, {shape}: {first_line(error)}"
        body = None


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--like", type=Path, help="a file of JSON lines")
    parser.add_argument("--device", default="cuda", help="a torch device (default: %(default)s)")
    parser.add_argument("--deadline", type=float, default=120, help="seconds after which no figure is begun")
    options = parser.parse_args(arguments)
    figures = read_lines(options.like).figures() if options.like and options.like.exists() else []
    jobs = jobs_of([line.name for line in figures] or DEFAULT_NAMES)
    with torch.inference_mode():
        return print_lines(measure(jobs, options.device, time.monotonic() + options.deadline))


if __name__ == "__main__":
    sys.exit(main())
