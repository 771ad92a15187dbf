"""Spans that are neither too short nor too long."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Starts = npt.NDArray[np.int64]
Strength = npt.NDArray[np.uint8]

_LEVELS_PER_REACH = 1.5
"""How many levels of strength outweigh a place at the end of a cut's reach rather than at its middle."""


def merge_short(starts: Starts, end: int, strength: Strength, shortest: int, longest: int) -> Starts:
    """`starts` without those that would leave a span below `shortest`: it joins the span before it where that boundary
    is the weaker one and the two stay within `longest`, else the span behind it."""
    if len(starts) < 2 or np.diff(starts, append=end).min() >= shortest:
        return starts
    places, levels = starts.tolist(), strength[starts].tolist()
    kept, kept_levels = places[:1], levels[:1]
    for place, level in zip(places[1:], levels[1:]):
        if place - kept[-1] >= shortest:
            kept.append(place)
            kept_levels.append(level)
        elif len(kept) > 1 and kept_levels[-1] < level and place - kept[-2] <= longest:
            kept[-1], kept_levels[-1] = place, level
    if len(kept) > 1 and end - kept[-1] < shortest:
        kept.pop()
    return np.array(kept, np.int64)


def cut_long(starts: Starts, end: int, strength: Strength, shortest: int, longest: int) -> Starts:
    """`starts` and cuts of the spans above `longest`: into equal pieces, of two thirds of it where `shortest` allows,
    each cut moved to the strongest boundary near it. No piece is above `longest`; none is below `shortest` where
    2 * shortest <= longest."""
    lengths = np.diff(starts, append=end)
    long = lengths > longest
    if not long.any():
        return starts
    lengths = lengths[long]
    fewest = -(-lengths // longest)
    pieces = np.clip(-(-lengths * 3 // (2 * longest)), fewest, np.maximum(lengths // shortest, fewest))
    smallest, largest = lengths // pieces, -(-lengths // pieces)
    reach = np.minimum(smallest // 4, np.minimum(longest - largest, np.maximum(smallest - shortest, 0)) // 2)

    span = np.repeat(np.arange(len(pieces)), pieces - 1)
    number = np.arange(len(span)) - np.repeat(np.cumsum(pieces - 1) - (pieces - 1), pieces - 1) + 1
    even = starts[long][span] + lengths[span] * number // pieces[span]
    cuts = _strongest_near(even, reach[span], strength)
    return np.sort(np.concatenate((starts, cuts)))


def _strongest_near(places: Starts, reach: npt.NDArray[Any], strength: Strength) -> Starts:
    """For each of `places` the best one at most `reach` away: the stronger, the nearer, the earlier."""
    widest = int(reach.max(initial=0))
    offsets = np.arange(-widest, widest + 1)
    candidates = np.clip(places[:, None] + offsets, 0, len(strength) - 1)
    score = strength[candidates] - np.abs(offsets) * (_LEVELS_PER_REACH / np.maximum(reach, 1))[:, None]
    score[np.abs(offsets) > reach[:, None]] = -np.inf
    return np.asarray(places + offsets[np.argmax(score, axis=1)])
