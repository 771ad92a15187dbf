"""What attacks on a listener do to the server's memory and to a client that means well.

    python tests/bench/attacks/attack_bench.py [--listener plain|tls|mtls ...] [--attack NAME ...] [--seconds 8]

The server's host tier is full when an attack begins. Printed for each: the largest resident memory over the budget, and
the 99th percentile of a lookup's time over what it was before. An attacker of an mTLS listener has no certificate.
"""

import argparse
import multiprocessing
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import chunkkv
import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "tests/support"), str(ROOT / "tests/server")]

from attacks import ATTACKS, Target  # noqa: E402
from certificates import Authority  # noqa: E402
from programs import running_server  # noqa: E402

BUDGET = 1 << 30
MODEL = chunkkv.ModelIdentity(name="attacked", revision="1", kv_dtype="f32", layer_count=1, kv_head_count=8,
                              key_head_size=128, value_head_size=128)


class GoodClient:
    """Asks for the same entry again and again, and keeps the time."""

    def __init__(self, client):
        self._client = client

    def p99(self, seconds: float) -> float:
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.perf_counter()
            try:
                self._client.describe(model=MODEL, tokens=np.arange(16, dtype=np.uint32), timeout=10,
                                      spec=chunkkv.CompactionSpec(policy="full"))
            except chunkkv.Error:
                pass  # a miss; or the time until a call fails counts
            times.append(time.perf_counter() - begun)
            time.sleep(0.002)
        return float(np.percentile(times, 99))


def fill(client):
    """Entries until the first is evicted."""
    rows = np.zeros((16_384, 8, 128), np.float32)
    for number in range(BUDGET // (2 * rows.nbytes) + 1):
        tokens = np.full(len(rows), number, np.uint32)
        client.put(model=MODEL, tokens=tokens, layers=[chunkkv.Layer(rows, rows)],
                   spec=chunkkv.CompactionSpec(policy="full"))


def resident_bytes(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) << 10


class MemoryWatch:
    """The largest resident memory while the context lasts."""

    def __init__(self, pid):
        self._pid, self._stop, self.peak_bytes = pid, threading.Event(), 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(0.02):
            self.peak_bytes = max(self.peak_bytes, resident_bytes(self._pid))


def child_pid(folder: Path, address: str) -> int:
    port = address.rsplit(":", 1)[1]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        command = path.read_bytes().split(b"\0")
        if command and command[0].endswith(b"chunkkv-server") and str(folder / "port").encode() in command:
            return int(path.parent.name)
    raise LookupError(port)


def measure(listener: str, name: str, seconds: float) -> tuple[float, float]:
    """(peak memory over budget, p99 under attack over p99 before)"""
    authority = Authority()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        options, credentials = ["--host-memory", str(BUDGET)], None
        if listener != "plain":
            certificate, key = authority.issue("localhost", "127.0.0.1").write(folder, "server")
            (folder / "ca.pem").write_bytes(authority.certificate)
            options += ["--tls-certificate", certificate, "--tls-key", key]
            credentials = authority.credentials(authority.issue("worker"))
            if listener == "mtls":
                options += ["--tls-client-ca", folder / "ca.pem"]
        with running_server(folder, *options) as address, chunkkv.Client(address, credentials=credentials) as client:
            fill(client)
            good = GoodClient(client)
            good.p99(1)
            before = good.p99(4)
            host, port = address.rsplit(":", 1)
            target = Target(host, int(port), listener != "plain")
            attacker = multiprocessing.get_context("spawn").Process(target=ATTACKS[name], args=(target, seconds))
            with MemoryWatch(child_pid(folder, address)) as memory:
                attacker.start()
                time.sleep(1)
                under = good.p99(seconds - 1)
                attacker.join()
            return memory.peak_bytes / BUDGET, under / before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listener", nargs="+", default=["plain", "tls", "mtls"], choices=["plain", "tls", "mtls"])
    parser.add_argument("--attack", nargs="+", default=list(ATTACKS), choices=list(ATTACKS))
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    print("| listener | attack | peak memory / budget | p99 under attack / before |\n|---|---|---|---|")
    for listener in options.listener:
        for name in options.attack:
            memory, delay = measure(listener, name, options.seconds)
            print(f"| {listener} | {name} | {memory:.2f} | {delay:.1f} |", flush=True)


if __name__ == "__main__":
    main()
