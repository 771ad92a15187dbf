"""Where spans of a prompt begin, and how strong each token's beginning is as a boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .characters import CLAUSE, TERMINATOR, flags_of
from .code import code_begins
from .gaps import Gaps, Offsets, behind_wide_punctuation
from .markers import CLOSING_TEXT, OPENING_TEXT
from .sentences import sentence_ends
from .vocabulary import Vocabulary

INSIDE_CHARACTER, INSIDE_WORD, WORD, CLAUSE_END, SENTENCE, LINE, PARAGRAPH, TURN = range(8)


class Boundaries:
    """Of one prompt of L > 0 tokens.

    strength: uint8 [L], what begins with each token: nothing (inside a character, a word), a word, a clause, a
    sentence, a line, a paragraph, a turn.
    """

    def __init__(self, ids: npt.NDArray[Any], vocabulary: Vocabulary) -> None:
        self._ids = vocabulary.known(ids)
        self._vocabulary = vocabulary
        text, self._at = vocabulary.text(self._ids)
        self._special = vocabulary.special[self._ids]
        flags = flags_of(text)
        if self._special.any():
            flags[:-1][np.repeat(self._special, np.diff(self._at))] = 0
        self._text = text.tobytes()
        self._gaps = Gaps.of_spaces(flags)
        self._gap_tokens = self._gaps.starting_tokens(self._at)
        self._sentence_ends, self._runs_on = sentence_ends(self._text, flags, self._gaps)
        wide, marks = behind_wide_punctuation(flags)
        self._wide_tokens = Gaps.empty(wide).starting_tokens(self._at)
        self._wide_ends = (marks & CLAUSE) == 0
        self._turns = self._special_turns()
        self.strength = self._strength(text, flags)

    def starts(self, by: str) -> Offsets:
        """Tokens that begin a span, int64, ascending, unique, within [0, L)."""
        gaps = self._gaps
        if by == "sentences":
            chosen = [self._gap_tokens[self._sentence_ends], self._wide_tokens[self._wide_ends]]
        elif by == "lines":
            chosen = [self._gap_tokens[gaps.newlines > 0]]
        elif by == "paragraphs":
            chosen = [self._gap_tokens[gaps.newlines > 1]]
        elif by == "code":
            chosen = [self._gap_tokens[code_begins(self._text, gaps)]]
        else:
            chosen = [self._written_turns()]
        begins = np.zeros(len(self._ids) + 1, np.bool_)
        for tokens in (*chosen, self._turns):
            begins[tokens] = True
        return np.flatnonzero(begins[:-1])

    def _strength(self, text: npt.NDArray[np.uint8], flags: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
        gaps = self._gaps
        clause = (flags[gaps.begin - 1] & (CLAUSE | TERMINATOR)) != 0
        levels = np.where(clause | self._runs_on, CLAUSE_END, WORD)
        levels[self._sentence_ends] = SENTENCE
        levels[(gaps.newlines == 1) & ~self._runs_on] = LINE
        levels[gaps.newlines > 1] = PARAGRAPH
        strength = np.full(len(self._ids) + 1, INSIDE_WORD, np.uint8)
        padded = np.concatenate((text, np.zeros(1, np.uint8)))
        strength[(padded[self._at] & 0xC0) == 0x80] = INSIDE_CHARACTER
        for level in (WORD, CLAUSE_END, SENTENCE, LINE, PARAGRAPH):
            strength[self._gap_tokens[levels == level]] = level
            if level == CLAUSE_END:
                strength[self._wide_tokens] = level
            elif level == SENTENCE:
                strength[self._wide_tokens[self._wide_ends]] = level
        strength[self._turns] = TURN
        return strength[:-1]

    def _special_turns(self) -> Offsets:
        """Tokens that begin turns for special tokens' sake: the first of a run that opens one, the first with text
        behind one that closes one. L may be among them."""
        opens = self._vocabulary.opens[self._ids]
        first = opens.copy()
        first[1:] &= ~opens[:-1]
        behind = np.flatnonzero(self._vocabulary.closes[self._ids]) + 1
        if len(behind):
            blank = self._vocabulary.blank[self._ids] & ~self._special
            passes = np.concatenate((blank, [False])) | np.concatenate((self._vocabulary.closes[self._ids], [False]))
            stays = np.flatnonzero(~passes)
            behind = stays[np.searchsorted(stays, behind)]
        return np.concatenate((np.flatnonzero(first), behind))

    def _written_turns(self) -> Offsets:
        """Tokens that begin turns where the marks are ordinary text."""
        openings = [match.start() for match in OPENING_TEXT.finditer(self._text)]
        closings = [match.end() for match in CLOSING_TEXT.finditer(self._text)]
        places = np.array(openings + closings, np.int64)
        inside = places - np.repeat([0, 1], [len(openings), len(closings)])
        places = places[~self._special[np.searchsorted(self._at, inside, side="right") - 1]]
        gap = np.searchsorted(self._gaps.begin, places, side="right") - 1
        return np.where(self._gaps.end[gap] >= places, self._gap_tokens[gap],
                        Gaps.empty(places).starting_tokens(self._at))
