"""How much slower an engine decodes on a GPU while the server compacts there, with and without a limit on its
multiprocessors.

    python decode_slowdown.py --server bin/chunkkv-server [--device cuda:0] [--seconds 4] [--sm-limit 16]

The engine is a loop of matrix products that reads the weights of a model's layers once a step, as decoding does. Beside
it another process puts prompts of 32,768 tokens, scored by queries. Prints a JSON line each: steps a second as a ratio to
those without puts of the same run, and how many puts ended meanwhile.
"""

import argparse
import json
import multiprocessing
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "client/python"), str(ROOT / "tests/gpu")]
try:
    import chunkkv
    import numpy as np
    import torch
    from server_on_cuda import running
except ImportError as error:
    print(f"cannot run here: {error}", file=sys.stderr)
    sys.exit(77)

LAYERS, TOKENS, WINDOW, KV_HEADS, QUERY_HEADS, SIZE = 4, 32_768, 16, 8, 32, 128


def put_prompts(address, count, ends):
    """Until `ends` is set; counts the puts that ended."""
    model = chunkkv.ModelIdentity(name="slowdown", revision="1", kv_dtype="bf16", layer_count=LAYERS,
                                  kv_head_count=KV_HEADS, key_head_size=SIZE, value_head_size=SIZE)
    spec = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.1, window_length=WINDOW)
    rows = torch.randn(TOKENS, KV_HEADS, SIZE).to(torch.bfloat16)
    layers = [chunkkv.Layer(k=rows, v=rows, queries=torch.randn(WINDOW, QUERY_HEADS, SIZE).to(torch.bfloat16))] * LAYERS
    with chunkkv.Client(address) as client:
        while not ends.is_set():
            tokens = np.arange(TOKENS, dtype=np.uint32) + count.value
            client.put(model=model, tokens=tokens, spec=spec, layers=layers, ttl_seconds=1)
            count.value += 1


class Engine:
    def __init__(self, device, layer_count=32, width=4096, batch=8):
        self._weights = [torch.randn(width, width, device=device, dtype=torch.bfloat16) / 64 for _ in range(layer_count)]
        self._rows = torch.randn(batch, width, device=device, dtype=torch.bfloat16)
        self._device = device

    def steps_a_second(self, seconds):
        torch.cuda.synchronize(self._device)
        begin, steps = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            rows = self._rows
            for weight in self._weights:
                rows = rows @ weight
            torch.cuda.synchronize(self._device)
            steps += 1
        return steps / (time.perf_counter() - begin)


def measure(options, engine, sm_limit):
    context = multiprocessing.get_context("spawn")
    with running(options.server, "--device", options.device, "--device-sm-limit", str(sm_limit), "--host-memory",
                 "8GiB") as address:
        count, ends = context.Value("q", 0), context.Event()
        worker = context.Process(target=put_prompts, args=(address, count, ends))
        alone = engine.steps_a_second(options.seconds)
        worker.start()
        while count.value == 0 and worker.is_alive():
            time.sleep(0.01)
        before = count.value
        beside = engine.steps_a_second(options.seconds)
        puts = count.value - before
        ends.set()
        worker.join()
    return {"bench": "decode_slowdown", "sm_limit": sm_limit, "alone_steps_per_s": alone, "ratio": beside / alone,
            "puts": puts}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--sm-limit", type=int, default=16)
    options = parser.parse_args()
    engine = Engine(options.device)
    engine.steps_a_second(1)  # warm
    for sm_limit in (0, options.sm_limit):
        print(json.dumps(measure(options, engine, sm_limit)), flush=True)


if __name__ == "__main__":
    main()
