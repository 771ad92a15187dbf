"""Where pieces of code begin: fenced blocks, and what stands without indentation."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .gaps import Gaps, Offsets

_ASSIGNS = rb"[ \t]*(?:[-+*/%&|^]|:)?=(?![=>])"
_BELONGS_TO_ABOVE = re.compile(
    rb"[})\]]|(?:else|elif|except|finally|catch|rescue|ensure)\b(?!" + _ASSIGNS + rb")"
    rb"|end\b(?!" + _ASSIGNS + rb"|[ \t]*:)"
    rb"|case\b(?!" + _ASSIGNS + rb")[^\n]*(?::|=>)|default[ \t]*:(?!=)")
_FENCE = re.compile(rb"(`{3,}(?=[^`\n]*(?:\n|\Z))|~{3,})([ \t\r]*(?:\n|\Z))?")
"""A fence, its marks the first group; the second is there where no language follows."""


def code_begins(text: bytes, gaps: Gaps) -> npt.NDArray[np.bool_]:
    """bool [gaps]: before a fenced block and behind it (a fence is closed by at least as many of its marks, alone on
    their line, as CommonMark has it); and, inside or without fences, before a line without indentation that follows a
    blank line or an indented one and does not close what stands above."""
    lines = np.flatnonzero(gaps.newlines)
    indentation = (gaps.end - gaps.line)[lines]
    above = np.concatenate(([0], indentation[:-1]))
    begins = (indentation == 0) & ((gaps.newlines[lines] > 1) | (above > 0))
    for line in np.flatnonzero(begins).tolist():
        if _BELONGS_TO_ABOVE.match(text, gaps.end[lines[line]]):
            begins[line] = False

    opening: bytes | None = None
    for line, fence in _fences(text, gaps.end[lines]):
        if opening is None:
            opening = fence[1]
            begins[line] = True
        elif fence[1].startswith(opening) and fence[2] is not None:
            opening = None
            begins[line] = False
            begins[line + 1:line + 2] = True
    result = np.zeros(len(gaps.begin), np.bool_)
    result[lines] = begins
    return result


def _fences(text: bytes, at: Offsets) -> Iterator[tuple[int, re.Match[bytes]]]:
    """Which of the lines whose first marks are at `at` are fences, and their marks."""
    padded = np.frombuffer(text + b"\0", np.uint8)
    for line in np.flatnonzero(np.isin(padded[at], (ord("`"), ord("~")))).tolist():
        if fence := _FENCE.match(text, at[line]):
            yield line, fence
