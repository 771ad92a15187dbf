"""The server on a GPU, end to end: what it compacts there, device memory that workers lend, the device tier under
pressure, workers that are killed.

    python server_on_cuda.py --server bin/chunkkv-server [--device cuda:0]

Prints a line a check; the status is 1 where one fails, and 77 where a package is missing. With --host-driver LIBRARY the
host stands for the GPU (tests/support): for the checks' own test.
"""

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client/python"))
try:
    import chunkkv
    import chunkkv._cuda_driver
    import chunkkv._device_rows
    import numpy as np
    import torch
except ImportError as error:
    print(f"cannot run here: {error}")
    sys.exit(77)

LAYERS, TOKENS, WINDOW, KV_HEADS, QUERY_HEADS, SIZE = 4, 2000, 16, 4, 16, 64
SPEC = chunkkv.CompactionSpec("chunk_kv", keep_ratio=0.2, window_length=WINDOW)
FULL = chunkkv.CompactionSpec("full")
MODEL = chunkkv.ModelIdentity(name="gpu", revision="1", kv_dtype="bf16", layer_count=LAYERS, kv_head_count=KV_HEADS,
                              key_head_size=SIZE, value_head_size=SIZE)
REST_WITHIN_SECONDS = 5


class Gpu:
    """Memory of a GPU: `empty` bytes of it, of the caching allocator's cudaMalloc or expandable segments."""

    def __init__(self, device):
        self.device = device

    def empty(self, size_bytes):
        return torch.empty(size_bytes, dtype=torch.uint8, device=self.device)

    def worker_options(self):
        return ["--device", self.device]


class Host:
    """In a GPU's place: memory of the driver that stands in."""

    device = "cpu"

    def __init__(self, library):
        sys.path.append(str(ROOT / "tests/support"))
        from host_device import HostDevice

        self._library, self._memory = library, HostDevice(library)
        torch.set_num_threads(1)
        chunkkv._cuda_driver.LIBRARY = library
        chunkkv._device_rows.is_on_device = self._memory.has

    def empty(self, size_bytes):
        return self._memory.allocate(each_bytes=size_bytes)

    def worker_options(self):
        return ["--host-driver", self._library]


def prompt(seed):
    """(tokens, [(k, v, queries)] of each layer) on the host."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(torch.bfloat16)

    tokens = np.random.default_rng(seed).integers(0, 2**31, TOKENS, dtype=np.uint32)
    return tokens, [(draw(TOKENS, KV_HEADS, SIZE), draw(TOKENS, KV_HEADS, SIZE), draw(WINDOW, QUERY_HEADS, SIZE))
                    for _ in range(LAYERS)]


def layers_of(arrays):
    return [chunkkv.Layer(k=k, v=v, queries=queries) for k, v, queries in arrays]


class Pages:
    """Lent memory from which tensors are cut: dense, or pages of an engine's cache."""

    def __init__(self, memory):
        self.memory, self._used = memory, 0

    def tensor(self, shape):
        count = int(np.prod(shape)) * 2
        self._used += count + -count % 256
        return self.memory[self._used - count - -count % 256:][:count].view(torch.bfloat16).reshape(shape)

    def dense(self, rows):
        return self.tensor(tuple(rows.shape)).copy_(rows)

    def paged(self, rows, block=16):
        count = -(-len(rows) // block)
        blocks = self.tensor((count, KV_HEADS, block, SIZE)).transpose(1, 2)
        ids = np.random.default_rng(count).permutation(count)
        numbers = np.arange(len(rows))
        index = torch.from_numpy(ids[numbers // block]).to(blocks.device), torch.from_numpy(numbers % block).to(
            blocks.device)
        blocks[index] = rows.to(blocks.device)
        return chunkkv.PagedRows(blocks, ids, len(rows))


@contextlib.contextmanager
def running(program, *options):
    """The address of a server of its own, that must end well."""
    with tempfile.TemporaryDirectory() as folder:
        port, log = Path(folder, "port"), Path(folder, "log")
        with open(log, "wb") as output:
            server = subprocess.Popen([program, "--listen", "127.0.0.1:0", "--port-file", port, "--local-socket",
                                       f"{folder}/local", *options], stderr=output)
        deadline = time.monotonic() + 60
        while not port.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {log.read_text()[-1000:]}")
            time.sleep(0.02)
        try:
            yield f"127.0.0.1:{int(port.read_text())}"
        finally:
            server.terminate()
            code = server.wait(60)
        if code != 0:
            raise RuntimeError(f"the server ended with {code}: {log.read_text()[-1000:]}")


def require(is_so, what):
    if not is_so:
        raise RuntimeError(what)


def expect_same(entry, other, what):
    for layer, wanted in zip(entry.layers, other.layers, strict=True):
        require(np.array_equal(layer.positions, wanted.positions), f"{what}: other positions in layer {layer.index}")
        for name in ("k", "v"):
            mine, theirs = getattr(layer.as_torch(), name).cpu(), getattr(wanted.as_torch(), name).cpu()
            require(torch.equal(mine.view(torch.int16), theirs.view(torch.int16)), f"{what}: other {name}")


def check_compaction(options):
    """Scored on the GPU and on the CPU: the same positions, the same bytes."""
    with running(options.server, *options.server_options) as on_gpu, \
            running(options.server, "--device", "cpu") as on_cpu, \
            chunkkv.Client(on_gpu) as gpu, chunkkv.Client(on_cpu) as cpu:
        entries = []
        for client in (gpu, cpu):
            tokens, arrays = prompt(1)
            client.put(model=MODEL, tokens=tokens, spec=SPEC, layers=layers_of(arrays))
            entries.append(client.get(model=MODEL, tokens=tokens, spec=SPEC))
        expect_same(*entries, "compacted on a GPU")
        return f"{len(entries[0].layers[0].positions)} of {TOKENS} rows kept on {gpu.capabilities().devices[0]}"


def check_regions(options):
    """Put from lent memory, dense and paged, and got into it."""
    with running(options.server, "--device-regions", *options.server_options) as address, \
            chunkkv.Client(address) as client:
        memory = options.machine.empty(64 << 20)
        with client.lend(memory):
            for seed, place in ((2, "dense"), (3, "paged")):
                pages = Pages(memory)
                tokens, arrays = prompt(seed)
                call = {"model": MODEL, "tokens": tokens, "spec": SPEC}
                client.put(**call, layers=[chunkkv.Layer(k=getattr(pages, place)(k), v=getattr(pages, place)(v),
                                                         queries=q) for k, v, q in arrays])
                expected = client.get(**call)
                for layer, (k, v, _) in zip(expected.layers, arrays):
                    kept = torch.from_numpy(layer.positions.astype(np.int64))
                    require(torch.equal(layer.as_torch().k, k[kept]) and torch.equal(layer.as_torch().v, v[kept]),
                            f"{place}: what was stored of layer {layer.index} is not what was put")
                into = {(layer.index, name): pages.tensor(getattr(layer, name).shape) for layer in expected.layers
                        for name in ("k", "v")}
                expect_same(client.get(**call, into=into), expected, f"{place}, got into the GPU's memory")
        require(client.list_regions() == [], "a region is left")
        return "dense and paged"


def check_pressure(options):
    """More entries than the device tier has room for: all of them are served right, from wherever they are."""
    with running(options.server, "--device-memory", "16MiB", *options.server_options) as address, \
            chunkkv.Client(address) as client:
        prompts = [prompt(seed) for seed in range(10, 26)]  # 4 MB each
        for tokens, arrays in prompts:
            client.put(model=MODEL, tokens=tokens, spec=FULL, layers=layers_of(arrays))
        for _ in range(2):
            for tokens, arrays in prompts:
                entry = client.get(model=MODEL, tokens=tokens, spec=FULL)
                for layer, (k, v, _) in zip(entry.layers, arrays):
                    require(torch.equal(layer.as_torch().k, k) and torch.equal(layer.as_torch().v, v), "other bytes")
        tier = client.stats().tiers["device"]
        require(not tier["failure"], f"the device tier failed: {tier['failure']}")
        require(0 < tier["used_bytes"] <= tier["budget_bytes"], f"{tier['used_bytes']} bytes in the tier")
        require(tier["entries"] > 0 and tier["promotions"] > 0 and tier["demotions"] + tier["evictions"] > 0,
                f"nothing moved: {tier}")
        return f"{tier['entries']} entries there, {tier['promotions']} promotions"


def check_killed_workers(options):
    """A worker killed after each of its messages: the server is at rest within 5 s, and serves on."""
    with running(options.server, "--device-regions", *options.server_options) as address, \
            chunkkv.Client(address) as client:
        slowest = 0.0
        for step in range(LAYERS + 2):
            command = [sys.executable, __file__, "--worker", address, "--step", str(step)]
            worker = subprocess.Popen([*command, *options.machine.worker_options()], stdout=subprocess.PIPE)
            require(worker.stdout.readline() == b"ready\n", f"the worker of step {step} did not begin")
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            worker.stdout.close()
            begin = time.monotonic()
            while client.list_regions() or client.stats().active_sessions or client.stats().tiers["host"]["staging_bytes"]:
                require(time.monotonic() - begin < REST_WITHIN_SECONDS, f"step {step}: not at rest after 5 s")
                time.sleep(0.01)
            slowest = max(slowest, time.monotonic() - begin)
        tokens, arrays = prompt(4)
        client.put(model=MODEL, tokens=tokens, spec=SPEC, layers=layers_of(arrays))
        return f"{LAYERS + 2} steps, at rest after {slowest:.2f} s at most"


def work(options):
    """Lends memory and sends so many layers from it, then waits to be killed. The last step's put is committed."""
    with chunkkv.Client(options.worker) as client:
        pages = Pages(options.machine.empty(64 << 20))
        region = client.lend(pages.memory)
        tokens, arrays = prompt(5)
        put = client.open_put(model=MODEL, tokens=tokens, spec=SPEC)
        for k, v, queries in arrays[:options.step]:
            put.send_layer(chunkkv.Layer(k=pages.dense(k), v=pages.dense(v), queries=queries))
        if options.step > LAYERS:
            put.commit()
        print("ready", flush=True)
        time.sleep(60)
        region.close()


CHECKS = {"compaction": check_compaction, "regions": check_regions, "pressure": check_pressure,
          "killed_workers": check_killed_workers}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="the program")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--host-driver", metavar="LIBRARY")
    parser.add_argument("--only", choices=CHECKS, action="append")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.machine = Host(options.host_driver) if options.host_driver else Gpu(options.device)
    options.server_options = () if options.host_driver else ("--device", options.device)
    if options.worker:
        return work(options)
    failures = 0
    for name in options.only or CHECKS:
        try:
            print(f"{name}: ok, {CHECKS[name](options)}", flush=True)
        except (RuntimeError, chunkkv.Error) as error:
            print(f"{name}: FAILED: {error}", flush=True)
            failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
