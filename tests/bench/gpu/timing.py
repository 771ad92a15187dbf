"""Medians of repeated runs on a torch device."""

import statistics
import time
from dataclasses import dataclass

import torch

SHORTEST_MS = 1.0  # what is timed at once; shorter work runs several times in it
MOST_REPEATS, MOST_RUNS = 50, 1000


@dataclass(frozen=True)
class Timing:
    median_ms: float
    spread: float  # (third quartile - first quartile) / median
    repeats: int


def timing_of(milliseconds):
    """The Timing of repeats; quartiles are elements, as the C++ benchmarks take them."""
    ordered, count = sorted(milliseconds), len(milliseconds)
    median = statistics.median(ordered)
    return Timing(median, (ordered[count * 3 // 4] - ordered[count // 4]) / median, count)


def time_repeats(body, device, seconds, least=5):
    """Timing of body(), which is run once to warm up, then for about `seconds`, and `least` times at least."""
    _milliseconds(body, device, 1)
    first = _milliseconds(body, device, 1)
    runs = max(1, min(MOST_RUNS, round(SHORTEST_MS / first)))
    repeats = max(least, min(MOST_REPEATS, int(1e3 * seconds / (first * runs))))
    timed = [first] if runs == 1 else []
    while len(timed) < repeats:
        timed.append(_milliseconds(body, device, runs) / runs)
    return timing_of(timed)


def _milliseconds(body, device, runs):
    if torch.device(device).type != "cuda":
        start = time.perf_counter()
        for _ in range(runs):
            body()
        return 1e3 * (time.perf_counter() - start)
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    begin.record()
    for _ in range(runs):
        body()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)
