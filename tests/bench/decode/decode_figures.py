"""Medians of repeats, and what follows from them; nothing follows from repeats that do not agree."""

import statistics
from dataclasses import dataclass

from decode_trial import Sample
from decode_variants import IN_PROCESS, REUSE, SERVED_FULL

PUBLISHED = {"chunk_kv": (-18.6, 24.4), "chunk_kv" + REUSE: (-20.7, 26.5)}
"""ChunkKV's paper, an A40, Llama 3 8B, 8,192 in, 1,024 out, keep 10 %: change of latency and of throughput, in %."""


@dataclass(frozen=True)
class Figure:
    """The median of repeats, their spread (the middle half of them over the median), and the repeats."""

    median: float
    spread: float
    repeats: list[float]

    @classmethod
    def of(cls, repeats: list[float]) -> "Figure":
        low, median, high = _quartiles(repeats)
        return cls(median, (high - low) / median if median else 0.0, repeats)


@dataclass(frozen=True)
class Difference:
    """The median of the differences in each repeat. is_resolved: the middle half of them has one sign."""

    median: float
    is_resolved: bool

    @classmethod
    def between(cls, figure: Figure, base: Figure) -> "Difference":
        low, median, high = _quartiles([mine - its for mine, its in zip(figure.repeats, base.repeats, strict=True)])
        return cls(median, low > 0 or high < 0)


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high


def figures_of(samples: list[Sample], prefill_seconds: float, is_served: bool) -> dict[str, Figure]:
    """Of one variant. first_token_ms: of a served cache load and first step, what a decode worker needs to its first
    token while prefill and put are another's; in one process the prefill. step_ms: of the steps after the first, the
    median in each repeat. total_seconds: prefill, put, load and all steps."""
    quantities = {
        "put_ms": [sample.put_seconds * 1e3 for sample in samples],
        "compaction_ms": [sample.compaction_seconds * 1e3 for sample in samples],
        "load_ms": [sample.load_seconds * 1e3 for sample in samples],
        "first_token_ms": [(sample.load_seconds + sample.step_seconds[0] if is_served else prefill_seconds) * 1e3
                           for sample in samples],
        "step_ms": [statistics.median(sample.step_seconds[1:]) * 1e3 for sample in samples],
        "tokens_per_second": [len(sample.step_seconds) / sum(sample.step_seconds) for sample in samples],
        "total_seconds": [prefill_seconds + sample.put_seconds + sample.load_seconds + sum(sample.step_seconds)
                          for sample in samples],
    }
    return {name: Figure.of(values) for name, values in quantities.items()}


@dataclass(frozen=True)
class Limit:
    """Figures whose spread is above it are not reported."""

    spread: float

    def holds(self, *figures: Figure) -> bool:
        return all(figure.spread <= self.spread for figure in figures)

    def change(self, figure: Figure, base: Figure) -> float | None:
        """(figure - base) / base; None where one of them is not reported."""
        return figure.median / base.median - 1 if self.holds(figure, base) else None

    def difference(self, figure: Figure, base: Figure) -> Difference | None:
        return Difference.between(figure, base) if self.holds(figure, base) else None


def changes(figures: dict[str, dict[str, Figure]], limit: Limit, base: str = IN_PROCESS) -> dict[str, dict]:
    """Of each other variant against `base`: latency is of the whole, prefill included, as in the paper; throughput is
    the inverse of latency (all variants have the same tokens in and out); decoding is of the tokens a second of its
    steps alone. Shares, None where not reported."""
    found = {}
    for name, mine in figures.items():
        if name == base:
            continue
        latency = limit.change(mine["total_seconds"], figures[base]["total_seconds"])
        found[name] = {"latency": latency, "throughput": None if latency is None else 1 / (1 + latency) - 1,
                       "decoding": limit.change(mine["tokens_per_second"], figures[base]["tokens_per_second"])}
    return found


def parts(figures: dict[str, dict[str, Figure]], limit: Limit) -> dict[str, dict]:
    """Where each policy's gain comes from: from the served full cache to the policy it is compaction, from the policy
    to the same with reuse it is reuse."""
    found = {}
    for name, mine in figures.items():
        if name in (IN_PROCESS, SERVED_FULL):
            continue
        of, base = ("reuse", name.removesuffix(REUSE)) if name.endswith(REUSE) else ("compaction", SERVED_FULL)
        found[name] = {"of": of, "against": base,
                       "differences": {quantity: limit.difference(mine[quantity], figures[base][quantity])
                                       for quantity in ("step_ms", "compaction_ms", "put_ms", "load_ms",
                                                        "total_seconds")}}
    return found
