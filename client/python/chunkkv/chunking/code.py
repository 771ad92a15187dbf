"""Where pieces of code begin: fenced blocks, and what stands without indentation."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from .gaps import Gaps, Offsets

_BELONGS_TO_ABOVE = re.compile(rb"[})\]]|(?:else|elif|except|finally|catch|end|rescue|ensure|case|default)\b")
_FENCES = (b"```", b"~~~")


def code_begins(text: bytes, gaps: Gaps) -> npt.NDArray[np.bool_]:
    """bool [gaps]: before a fenced block and behind it; and, inside or without fences, before a line without
    indentation that follows a blank line or an indented one and does not close what stands above."""
    lines = np.flatnonzero(gaps.newlines)
    indentation = (gaps.end - gaps.line)[lines]
    above = np.concatenate(([0], indentation[:-1]))
    begins = (indentation == 0) & ((gaps.newlines[lines] > 1) | (above > 0))
    for line in np.flatnonzero(begins).tolist():
        if _BELONGS_TO_ABOVE.match(text, gaps.end[lines[line]]):
            begins[line] = False

    fence: bytes | None = None
    for line in _fence_lines(text, gaps.end[lines]):
        at = int(gaps.end[lines[line]])
        mark = text[at:at + 3]
        if fence is None:
            fence = mark
            begins[line] = True
        elif mark == fence:
            fence = None
            begins[line] = False
            begins[line + 1:line + 2] = True
    result = np.zeros(len(gaps.begin), np.bool_)
    result[lines] = begins
    return result


def _fence_lines(text: bytes, at: Offsets) -> list[int]:
    """Which of the lines whose first marks are at `at` are fences."""
    padded = np.frombuffer(text + b"\0", np.uint8)
    return [int(line) for line in np.flatnonzero(np.isin(padded[at], (ord("`"), ord("~"))))
            if text.startswith(_FENCES, at[line])]
