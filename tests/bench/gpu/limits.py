"""Measures what the machine can do, in the run whose figures are held against it.

    python limits.py [--device cuda] >> lines.jsonl

Prints the machine, then one JSON object a limit: device_copy (bytes read and written), matmul (bf16, square, with the
clock of the multiprocessors under that load), host_copy (device to pinned host memory); and product/<model>/<window>,
a library's batched product in the shape of scoring, which is no limit: its logits go through memory. What the device
refuses is named on standard error; then the status is 1.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from gpu.lines import LIMIT, Line, first_line, print_line, print_lines
from gpu.machine import describe, query
from gpu.shapes import MODELS
from gpu.timing import time_repeats

SECONDS = 1.0  # of each limit


@dataclass(frozen=True)
class Sizes:
    """Large enough to fill the GPU, and several times its caches."""
    copy_bytes: int = 4 << 30
    host_bytes: int = 1 << 30
    square: int = 8192
    product_tokens: int = 32768
    window: int = 32


def measure(device, sizes, seconds):
    """Yields the limits as Lines, and texts of what the device refused."""
    bodies = {"device_copy": lambda: device_copy(device, sizes.copy_bytes, seconds),
              "matmul": lambda: matmul(device, sizes.square, seconds),
              **{f"product of {name}": lambda name=name: product(device, name, sizes, seconds) for name in MODELS},
              "host_copy": lambda: host_copy(device, sizes.host_bytes, seconds)}
    for name, body in bodies.items():
        try:
            yield body()
        except RuntimeError as error:
            yield f"{name}: {first_line(error)}"


def device_copy(device, size_bytes, seconds):
    source = random_bytes(size_bytes, device)
    target = torch.empty_like(source)
    return _line("device_copy", time_repeats(lambda: target.copy_(source), device, seconds), bytes=2 * size_bytes)


def host_copy(device, size_bytes, seconds):
    source = random_bytes(size_bytes, device)
    target = torch.empty(size_bytes, dtype=torch.uint8, pin_memory=source.is_cuda)
    timing = time_repeats(lambda: target.copy_(source, non_blocking=True), device, seconds)
    return _line("host_copy", timing, bytes=size_bytes)


def matmul(device, size, seconds):
    left, right = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    out = torch.empty_like(left)
    timing = time_repeats(lambda: torch.matmul(left, right, out=out), device, seconds)
    clock = clock_under(lambda: torch.matmul(left, right, out=out), device, timing.median_ms)
    return _line("matmul", timing, flops=2 * size**3, clock_hz=clock)


def product(device, model_name, sizes, seconds):
    """Queries of one layer's window with its keys [L, Hkv, D]."""
    model = MODELS[model_name]
    rows = sizes.window * model.heads // model.kv_heads
    queries = torch.randn(model.kv_heads, rows, model.head_size, dtype=torch.bfloat16, device=device)
    keys = torch.randn(sizes.product_tokens, model.kv_heads, model.head_size, dtype=torch.bfloat16, device=device)
    out = torch.empty(model.kv_heads, rows, sizes.product_tokens, dtype=torch.bfloat16, device=device)
    columns = keys.permute(1, 2, 0)
    timing = time_repeats(lambda: torch.bmm(queries, columns, out=out), device, seconds)
    return _line(f"product/{model_name}/{sizes.window}", timing, flops=2 * rows * keys.numel(),
                 bytes=2 * (keys.numel() + queries.numel() + out.numel()))


def clock_under(load, device, load_ms):
    """Clock of the multiprocessors in Hz, read while `load` keeps them busy; None where nothing tells it."""
    if torch.device(device).type != "cuda":
        return None
    for _ in range(int(500 / load_ms) + 1):
        load()
    megahertz = query("clocks.sm", f"GPU-{torch.cuda.get_device_properties(device).uuid}")
    torch.cuda.synchronize(device)
    return float(megahertz) * 1e6 if megahertz else None


def random_bytes(size_bytes, device):
    """Never zeros: some devices move those faster."""
    return torch.randint(0, 256, (size_bytes,), dtype=torch.uint8, device=device)


def _line(name, timing, **more):
    return Line(LIMIT, name, timing.median_ms, timing.spread, timing.repeats, **more)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="a torch device (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        print_line(describe(options.device))
    except RuntimeError as error:
        print("limits:", first_line(error), file=sys.stderr)
        return 1
    return print_lines(measure(options.device, Sizes(), SECONDS))


if __name__ == "__main__":
    sys.exit(main())
