"""Where a text may be parted: white space between words, and the empty places behind wide punctuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .characters import CLOSER, DIGIT, MOST_CLOSING_BYTES, NEWLINE, SPACE, STOP, WIDE

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Gaps:
    """Runs of white space [begin, end) as byte offsets, int64 [gaps], ascending; `line` is where the last line that
    begins in the run begins (`end` where none does), newlines how many end in it. A gap at 0 stands for the text's
    beginning, a new line."""

    begin: Offsets
    end: Offsets
    line: Offsets
    newlines: Offsets

    @classmethod
    def of_spaces(cls, flags: npt.NDArray[np.uint16]) -> Gaps:
        space = (flags & SPACE) != 0
        edges = np.flatnonzero(space[1:] != space[:-1]) + 1
        if space[0]:
            edges = np.concatenate(([0], edges))
        begin, end = edges[::2], edges[1::2]
        breaks = np.flatnonzero(flags & NEWLINE)
        before, through = np.searchsorted(breaks, begin), np.searchsorted(breaks, end)
        newlines = through - before
        line = end.copy()
        line[newlines > 0] = breaks[through[newlines > 0] - 1] + 1
        if len(begin) and begin[0] == 0:
            newlines[0] += 1
            line[0] = 0 if newlines[0] == 1 else line[0]
        else:
            begin, end, line = (np.concatenate(([0], offsets)) for offsets in (begin, end, line))
            newlines = np.concatenate(([1], newlines))
        return cls(begin, end, line, newlines)

    @classmethod
    def empty(cls, at: Offsets) -> Gaps:
        return cls(at, at, at, np.zeros(len(at), np.int64))

    def starting_tokens(self, at: Offsets) -> Offsets:
        """For each gap the token that begins what follows it; L where nothing does.

        at int64 [L + 1]: where tokens begin, the last the text's length. White space alone goes with what it follows,
        but indentation with its line where a token begins there. A token across the whole gap goes with the side that
        has more of its bytes.
        """
        token = np.searchsorted(at[:-1], self.line, side="right") - 1
        begin, end = at[token], at[token + 1]
        more_behind = (end > self.end) & (self.begin - begin <= end - self.end)
        return np.where((begin == self.line) | more_behind, token, token + 1)


def behind_wide_punctuation(flags: npt.NDArray[np.uint16]) -> tuple[Offsets, npt.NDArray[np.uint16]]:
    """Offsets behind wide punctuation and what closes with it, where no white space follows; and its flags."""
    wide = (flags & WIDE) != 0
    last = np.flatnonzero(wide[:-1] & ~wide[1:])
    mark = flags[last]
    at = last + 1
    for _ in range(MOST_CLOSING_BYTES):
        at = at + ((flags[at] & CLOSER) != 0)
    in_number = ((flags[last + 1] & DIGIT) != 0) & ((mark & STOP) != 0)
    open_to = ((flags[at] & (SPACE | WIDE)) == 0) & (at < len(flags) - 1) & ~in_number
    return at[open_to], mark[open_to]
