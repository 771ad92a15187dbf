"""Limits of compaction on a GPU, from rates that the same run measured.

Bytes of a request are B * (0.5 / R + 2r): keys of scored layers read once, kept rows read and written. Scoring is bound
by the largest of three terms: bytes, matrix products, exponentials. Source: the performance page of the design.
"""

from dataclasses import dataclass

from gpu.shapes import BENCHES

EXPONENTIALS_PER_CLOCK = 16  # of one multiprocessor's special function units
SELECT_LIMIT_MS = 0.005


@dataclass(frozen=True)
class Rates:
    """What the machine does, None where unknown. Of copies on the device, bytes read plus bytes written; clock under
    load."""
    copy_bytes_per_s: float | None
    matmul_flops: float | None
    multiprocessors: int | None
    clock_hz: float | None
    host_copy_bytes_per_s: float | None

    @property
    def exponentials_per_s(self):
        if not self.multiprocessors or not self.clock_hz:
            return None
        return EXPONENTIALS_PER_CLOCK * self.multiprocessors * self.clock_hz


def moved_bytes(kv_bytes, keep, reuse, scores_all=False):
    """Bytes that a compaction moves through device memory. scores_all: every layer chooses (SUM)."""
    return kv_bytes * ((0.5 if scores_all else 0.5 / reuse) + 2 * keep)


def scoring_terms(shape, rates):
    """Milliseconds that each term asks for the scored layers of a prompt: {"bytes", "products", "exponentials"}; None
    for a term whose rate is unknown."""
    model, layers = shape.model, shape.scored_layers
    pairs = layers * shape.window * model.heads * shape.tokens  # of a query and a key
    key_bytes = shape.kv_bytes / 2 * layers / model.layers
    return {"bytes": _ms(key_bytes, rates.copy_bytes_per_s),
            "products": _ms(2 * pairs * model.head_size, rates.matmul_flops),
            "exponentials": _ms(pairs, rates.exponentials_per_s)}


def limit_terms(shape, rates):
    """Milliseconds by term of the figure that `shape` names; None as in scoring_terms."""
    gather = {"gather": _ms(2 * shape.kept_bytes, rates.copy_bytes_per_s)}
    if shape.bench == "gather":
        return gather
    if shape.bench == "select":
        return {"select": SELECT_LIMIT_MS}
    if shape.bench == "to_host":
        return {"host copy": _ms(shape.kept_bytes, rates.host_copy_bytes_per_s)}
    score = scoring_terms(shape, rates)
    return score if BENCHES[shape.bench] == "G1" else {**score, "select": SELECT_LIMIT_MS, **gather}


def limit_ms(terms):
    """What `terms` of a figure come to: scoring counts with its largest, the steps of a request one after another. None
    where a term is unknown."""
    if None in terms.values():
        return None
    score = max(terms.get(name, 0.0) for name in ("bytes", "products", "exponentials"))
    return score + sum(terms.get(name, 0.0) for name in ("select", "gather", "host copy"))


def _ms(amount, rate):
    return 1e3 * amount / rate if rate else None
