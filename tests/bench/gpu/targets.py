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
    found = []
    if (least := least_share(shape)) is not None:
        if shape.bench == "request":
            times = None if share is None else 1 / share
            found.append(_verdict(f"<= {1 / least:.4g}x the limit", times, "{:.3f}x", lambda value: value <= 1 / least))
        else:
            found.append(_verdict(f">= {least:.0%} of the limit", share, "{:.1%}", lambda value: value >= least))
    if shape.bench == "select":
        found.append(_verdict(f"<= {1e3 * SELECT_MS:.0f} us", line.median_ms, None, lambda value: value <= SELECT_MS))
    for peer, least_times in _peer_times(shape).items():
        found.append(_verdict(f">= {least_times}x {peer}", peers.get(peer), "{:.1f}x",
                              lambda value, least_times=least_times: value >= least_times))
    if shape.bench == "request":
        scratch = None if line.scratch_bytes is None else line.scratch_bytes / shape.kv_bytes
        found.append(_verdict(f"scratch <= {SCRATCH_SHARE:.0%} of the KV", scratch, "{:.2%}",
                              lambda value: value <= SCRATCH_SHARE))
    return found


def _peer_times(shape):
    """{peer: how many times as long it is to take}."""
    if shape.bench == "to_host":
        return {"full_copy": FULL_COPY_TIMES}
    if shape.bench != "request":
        return {}
    vectorised = {"vectorised": VECTORISED_TIMES[shape.tokens]} if shape.tokens in VECTORISED_TIMES else {}
    return {**vectorised, "kvpress": KVPRESS_TIMES}


def _verdict(text, value, form, is_met):
    if value is None:
        return Verdict(text, None)
    return Verdict(f"{text} ({form.format(value)})" if form else text, is_met(value))
