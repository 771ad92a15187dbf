"""Targets G1 to G4 and P1 of the performance page of the design, held against figures of one run."""

from dataclasses import dataclass

SCORE_SHARES = ((64, 0.90), (128, 0.80), (256, 0.75))  # LSE given: most rows a KV head, least share of the limit
OTHER_SHARES = {"score_chunk": 0.70, "score_two_pass": 0.45, "to_host": 0.95}
GATHER_SHARES = {"token_major": 0.95, "head_major": 0.92, "paged": 0.88}
REQUEST_TIMES = {8192: 1.4, 32768: 1.25, 131072: 1.2}  # of the limit, by tokens
SELECT_MS = 0.010
VECTORISED_TIMES = {8192: 8, 131072: 4}
KVPRESS_TIMES, FULL_COPY_TIMES = 20, 3
SCRATCH_SHARE = 0.01


@dataclass(frozen=True)
class Verdict:
    """text: the target, and in brackets what was measured; met is None where it could not be judged."""
    text: str
    met: bool | None


def least_share(shape):
    """Share of the limit that the target asks for; None where none does."""
    if shape.bench == "score_lse":
        return next((share for rows, share in SCORE_SHARES if shape.rows_per_kv_head <= rows), None)
    if shape.bench == "gather":
        return GATHER_SHARES[shape.layout]
    if shape.bench == "request" and shape.tokens in REQUEST_TIMES:
        return 1 / REQUEST_TIMES[shape.tokens]
    return OTHER_SHARES.get(shape.bench)


def verdicts_of(shape, line, share, peers):
    """Verdicts on one figure. share: of the limit, None where unknown; peers: {name: times as long}, of steady ones."""
    found, least = [], least_share(shape)
    if shape.bench == "request" and least is not None:
        found.append(_at_most("{:.4g}x the limit", 1 / least, None if share is None else 1 / share, "{:.3f}x"))
    elif least is not None:
        found.append(_at_least("{:.0%} of the limit", least, share, "{:.1%}"))
    if shape.bench == "select":
        found.append(_at_most("{:g} us", 1e3 * SELECT_MS, 1e3 * line.median_ms, "{:.1f}"))
    found += [_at_least("{}x " + peer, times, peers.get(peer), "{:.1f}x")
              for peer, times in _peer_times(shape).items()]
    if shape.bench == "request":
        scratch = None if line.scratch_bytes is None else line.scratch_bytes / shape.kv_bytes
        found.append(_at_most("{:.0%} of the KV as scratch", SCRATCH_SHARE, scratch, "{:.2%}"))
    return found


def _peer_times(shape):
    """{peer: how many times as long it is to take}."""
    if shape.bench == "to_host":
        return {"full_copy": FULL_COPY_TIMES}
    if shape.bench != "request":
        return {}
    vectorised = {"vectorised": VECTORISED_TIMES[shape.tokens]} if shape.tokens in VECTORISED_TIMES else {}
    return {**vectorised, "kvpress": KVPRESS_TIMES}


def _at_least(target, least, value, form):
    return _verdict(">= " + target.format(least), value, form, value is not None and value >= least)


def _at_most(target, most, value, form):
    return _verdict("<= " + target.format(most), value, form, value is not None and value <= most)


def _verdict(text, value, form, is_met):
    """value: what was measured; None where it was not."""
    return Verdict(text, None) if value is None else Verdict(f"{text} ({form.format(value)})", is_met)
