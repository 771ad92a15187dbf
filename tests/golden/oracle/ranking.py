"""Choosing, section 3 of the page."""
from dataclasses import dataclass

import numpy as np

from .arguments import Arguments
from .token_scores import pooled

REDUCE = {"sum": np.sum, "mean": np.mean, "max": np.max}


@dataclass
class Ranking:
    """Scored spans competing for room: always (ascending positions), spans [(start, stop)], scores float64 [spans], room tokens."""

    always: list[int]
    spans: list[tuple[int, int]]
    scores: np.ndarray
    room: int

    def kept_positions(self) -> list[int]:
        kept, room = list(self.always), self.room
        for span in np.argsort(-self.scores, kind="stable"):
            start, stop = self.spans[span]
            taken = min(stop - start, room)
            kept.extend(range(start, start + taken))
            room -= taken
        return sorted(kept)


def recent_tokens(arguments: Arguments, budget: int) -> int:
    """Returns how many of the last tokens the policy keeps without looking at scores."""
    room = budget - arguments.sink_tokens
    if arguments.policy == "streaming_llm":
        return room
    if arguments.policy == "h2o":
        return min(max(arguments.window_length, int(arguments.recent_ratio * budget + 0.5)), room)
    return arguments.window_length


def chunk_spans(arguments: Arguments, past: int, chunk_starts: list[int] | None) -> list[tuple[int, int]]:
    starts = range(arguments.sink_tokens, past, arguments.chunk_length) if chunk_starts is None else chunk_starts
    starts = [start for start in starts if start < past]
    return list(zip(starts, starts[1:] + [past]))


def rank(arguments: Arguments, budget: int, tokens: int, scores: np.ndarray | None, chunk_starts: list[int] | None) -> Ranking:
    """scores: unpooled [P], None for policies without. budget == tokens keeps everything."""
    if budget == tokens:
        return Ranking(list(range(tokens)), [], np.zeros(0), 0)
    sinks, recent = arguments.sink_tokens, recent_tokens(arguments, budget)
    always = list(range(sinks)) + list(range(tokens - recent, tokens))
    if not arguments.uses_scores:
        return Ranking(always, [], np.zeros(0), 0)
    smooth = pooled(scores, arguments.pool)
    if arguments.policy == "chunk_kv":
        spans = chunk_spans(arguments, tokens - arguments.window_length, chunk_starts)
        reduce = REDUCE[arguments.chunk_reduce or ("sum" if chunk_starts is None else "max")]
        span_scores = np.array([reduce(smooth[start:stop]) for start, stop in spans])
    else:
        spans = [(position, position + 1) for position in range(sinks, tokens - recent)]
        span_scores = smooth[sinks:tokens - recent]
    return Ranking(always, spans, span_scores, budget - len(always))
