"""Which white space ends a sentence."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from .characters import (CLOSER, DIGIT, LOWER, MOST_CLOSING_BYTES, OPENING_QUOTE, PHRASED, STOP, TERMINATOR, UPPER,
                         WIDE)
from .gaps import Gaps

Mask = npt.NDArray[np.bool_]

_NEVER_LAST = frozenset(b"""
mr mrs ms mx dr prof rev hon gen col capt lt sgt sen rep gov st mt ft messrs mme mlle vs viz cf ca approx resp incl esp
hr fr frl bzw usw vgl zb sog ggf evtl geb gest sr sra srta ud uds pr mgr dott sig
""".split())
"""Abbreviations that something always follows."""
_BEFORE_NUMBERS = frozenset(b"""
no nos nr fig figs eq eqs sec sect ch chap vol p pp pg art par tab ref refs app ex num n ver v
jan feb mar apr jun jul aug sep sept oct nov dec
""".split())
_INITIALS = re.compile(rb"(?:[A-Za-z]\.)+[A-Za-z]|[A-Z]|[\xc3\xd0][\x80-\xbf]")
_MAY_END = frozenset((b"a.m", b"p.m"))
_LIST_NUMBER = re.compile(rb"\d{1,3}|[A-Za-z]|[ivxIVX]{1,5}")
_AROUND_WORDS = b"\0\"'*_`()[]{}" + "“”‘’„«»¿¡".encode()


def sentence_ends(text: bytes, flags: npt.NDArray[np.uint16], gaps: Gaps) -> tuple[Mask, Mask]:
    """bool [gaps]: where a sentence ends, and where a line ends that its sentence runs past. text: special tokens are
    zeros in it.

    A full stop ends no sentence behind an abbreviation, an initial or a list's number, nor before a small letter of the
    same line unless it stands alone or the text hardly has capitals. Thai and Lao have no full stops: there a space
    does.
    """
    last = _last_mark(flags, gaps)
    stop, terminator = (last & STOP) != 0, (last & TERMINATOR) != 0
    following = flags[gaps.end]
    before_small = (following & LOWER) != 0
    if np.count_nonzero(flags & UPPER) * 4 < np.count_nonzero(stop | terminator):
        before_small[:] = False
    preceding = flags[gaps.begin - 1]
    phrase = (preceding & following & PHRASED) != 0

    continued = before_small & (gaps.newlines == 0)
    ends = ((last & WIDE) != 0) & (stop | terminator) | (terminator & ~continued) | phrase
    undecided = np.flatnonzero(stop & ~ends)
    before = undecided - 1  # the first gap is the text's beginning, behind no full stop
    for index, begin, end, begins_line, before_number in zip(
            undecided.tolist(), gaps.end[before].tolist(), gaps.begin[undecided].tolist(),
            (gaps.newlines[before] > 0).tolist(), ((following[undecided] & DIGIT) != 0).tolist()):
        word = text[begin:end].strip(_AROUND_WORDS)
        if word == b".":
            ends[index] = True
        elif not continued[index]:
            ends[index] = not _is_abbreviated(word[:-1], begins_line, before_number)

    runs_on = (gaps.newlines == 1) & before_small & ~ends & (gaps.line == gaps.end)
    ends |= (gaps.newlines > 0) & ~runs_on
    return ends, runs_on


def _last_mark(flags: npt.NDArray[np.uint16], gaps: Gaps) -> npt.NDArray[np.uint16]:
    """Flags of the character before each gap, closing brackets and quotes passed over."""
    at = gaps.begin - 1
    marks = flags[at]
    closing = np.flatnonzero(marks & (CLOSER | OPENING_QUOTE))
    for _ in range(MOST_CLOSING_BYTES):
        at[closing] -= 1
        marks[closing] = flags[at[closing]]
        closing = closing[(marks[closing] & (CLOSER | OPENING_QUOTE)) != 0]
    return marks


def _is_abbreviated(word: bytes, begins_line: bool, before_number: bool) -> bool:
    """Whether the full stop behind `word` belongs to it."""
    small = word.lower()
    if small in _MAY_END:
        return False
    return (small in _NEVER_LAST or (before_number and small in _BEFORE_NUMBERS) or bool(_INITIALS.fullmatch(word))
            or (begins_line and bool(_LIST_NUMBER.fullmatch(word))))
