"""Holds chunkkv.kernels on CUDA tensors against the same on the CPU.

    python kernels_on_cuda.py [--device cuda:0]

Prints a line a case; the status is 1 where one differs, and 77 where a package is missing. With --device cpu the CPU is
held against the reference.
"""

import argparse
import itertools
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client/python"))
try:
    import chunkkv
    import torch
    from chunkkv import kernels
except ImportError as error:
    print(f"cannot run here: {error}")
    sys.exit(77)

LAYERS, TOKENS, WINDOW, KV_HEADS, QUERY_HEADS, SIZE, PAGE_TOKENS = 3, 700, 16, 2, 8, 64, 16
SPECS = {
    "chunk_kv": {"policy": "chunk_kv", "keep_ratio": 0.2},
    "chunk_kv sum": {"policy": "chunk_kv", "keep_ratio": 0.2, "reuse_group": 2, "group_score": "sum"},
    "given chunks": {"policy": "chunk_kv", "keep_ratio": 0.3, "chunk_starts": (0, 3, 50, 51, 300, 640)},
    "snap_kv": {"policy": "snap_kv", "max_tokens": 160},
    "h2o": {"policy": "h2o", "keep_ratio": 0.3, "sink_tokens": 4},
    "streaming_llm": {"policy": "streaming_llm", "max_tokens": 64},
    "guardrail": {"policy": "chunk_kv", "keep_ratio": 0.1, "min_retained_mass": 0.6, "on_low_mass": "raise_budget"},
}


def layers_of(dtype, seed):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    rope = chunkkv.Rope.of_theta(1e4, SIZE)
    return [kernels.KvLayer(k=draw(TOKENS, KV_HEADS, SIZE), v=draw(TOKENS, KV_HEADS, SIZE),
                            queries=draw(WINDOW, QUERY_HEADS, SIZE), rope=rope) for _ in range(LAYERS)]


def paged(rows, device):
    """`rows` in pages of `device`, in reverse order."""
    pages = -(-TOKENS // PAGE_TOKENS)
    blocks = torch.zeros(pages, PAGE_TOKENS, *rows.shape[1:], dtype=rows.dtype)
    blocks.flatten(0, 1)[:TOKENS] = rows
    block_ids = torch.arange(pages - 1, -1, -1, dtype=torch.int32)
    return kernels.PagedRows(blocks.flip(0).contiguous().to(device), block_ids.to(device), TOKENS)


def moved(layer, device, is_paged):
    place = (lambda rows: paged(rows, device)) if is_paged else (lambda rows: rows.to(device))
    return kernels.KvLayer(k=place(layer.k), v=place(layer.v), queries=layer.queries.to(device), rope=layer.rope)


def differences(device, dtype, name, is_paged, on):
    """What differs between the device and what it is held against."""
    layers = layers_of(dtype, seed=7)
    spec = chunkkv.CompactionSpec(window_length=WINDOW, **SPECS[name])
    wanted = kernels.compact(layers, spec, on=kernels.Device("reference" if device == "cpu" else "cpu"))
    got = kernels.compact([moved(layer, device, is_paged) for layer in layers], spec, on=on)
    if got.budget != wanted.budget:
        yield f"budget {got.budget}, not {wanted.budget}"
        return
    for group, (left, right) in enumerate(zip(got.positions, wanted.positions)):
        if not torch.equal(left.cpu(), right):
            yield f"positions of group {group}"
    for index, (kept, layer) in enumerate(zip(got.layers, layers)):
        for tensor, rows in (("k", layer.k), ("v", layer.v)):
            if not torch.equal(getattr(kept, tensor).cpu(), rows[kept.positions.long().cpu()]):
                yield f"{tensor} of layer {index}"
    for left, right in zip(got.retained_mass, wanted.retained_mass):
        if abs(left - right) > 1e-3:
            yield f"retained mass {left}, not {right}"


def copying_differences(device, dtype):
    """Rotation within two units in the last place; scatter and digests bit for bit."""
    layer = layers_of(dtype, seed=8)[0]
    positions = torch.arange(5, 205, 2, dtype=torch.int32)
    kept = kernels.gather(layer.k.to(device), positions.to(device))
    turned = kernels.rotate(kept, positions.to(device), layer.rope).cpu().double()
    exact = kernels.rotate(kept.cpu().float(), positions, layer.rope).double()
    if (turned - exact).abs().max() > 2 * torch.finfo(dtype).eps * exact.abs().max():
        yield "rotated keys"
    pages = paged(torch.zeros_like(layer.k), device)
    kernels.scatter(kept, positions.to(device), pages)
    if not torch.equal(kernels.gather(pages, positions.to(device)), kept):
        yield "scattered rows"
    if int((pages.blocks != 0).any(-1).any(-1).sum()) != len(positions):
        yield "rows that nothing was scattered to"
    if not torch.equal(kernels.digest(layer.k.to(device)).cpu(), kernels.digest(layer.k)):
        yield "digests"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", default="cuda:0")
    device = options.parse_args().device
    if device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(f"{device}: PyTorch sees no GPU")
    devices = {"whole": kernels.Device(), "capped": kernels.Device(max_sm_count=8)}
    failures = 0

    def report(case, found):
        nonlocal failures
        found = list(found)
        failures += bool(found)
        print(f"{'differs: ' + ', '.join(found) if found else 'equal'}  {case}", flush=True)

    dtypes = (torch.bfloat16, torch.float16, torch.float32)
    for dtype, is_paged, name in itertools.product(dtypes, (False, True), SPECS):
        case = f"{name} {dtype} {'paged' if is_paged else 'dense'}"
        report(case, differences(device, dtype, name, is_paged, devices["capped" if is_paged else "whole"]))
    for dtype in dtypes:
        report(f"rotate, scatter and digest {dtype}", copying_differences(device, dtype))
    if device.startswith("cuda"):
        with torch.cuda.stream(torch.cuda.Stream(device)):
            report("a stream of its own", differences(device, torch.bfloat16, "chunk_kv", False, devices["whole"]))
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
