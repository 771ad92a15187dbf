"""Where spans of a prompt begin, and how strong each token's beginning is as a boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .characters import CLAUSE, TERMINATOR, flags_of
from .code import code_begins
from .gaps import Gaps, Offsets, behind_wide_punctuation
from .markers import CLOSING_TEXT, FIRST_BYTES, OPENING_TEXT, ROLE_TEXT
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
        text[np.repeat(self._special, np.diff(self._at))] = 0
        flags = flags_of(text)
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
        ends_clause = (flags[gaps.begin - 1] & (CLAUSE | TERMINATOR)) != 0
        of_gaps = np.where(ends_clause | self._runs_on, CLAUSE_END, WORD)
        of_gaps[self._sentence_ends] = SENTENCE
        of_gaps[(gaps.newlines == 1) & ~self._runs_on] = LINE
        of_gaps[gaps.newlines > 1] = PARAGRAPH
        of_wide = np.where(self._wide_ends, SENTENCE, CLAUSE_END)
        tokens = np.concatenate((self._gap_tokens, self._wide_tokens, self._turns))
        levels = np.concatenate((of_gaps, of_wide, np.full(len(self._turns), TURN))).astype(np.uint8)
        ascending = np.argsort(levels, kind="stable")  # where a token has several, the last to be written stays

        strength = np.full(len(self._ids) + 1, INSIDE_WORD, np.uint8)
        continues = (text & 0xC0) == 0x80
        strength[:-1][np.concatenate((continues, [False]))[self._at[:-1]]] = INSIDE_CHARACTER
        strength[tokens[ascending]] = levels[ascending]
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
        gaps = self._gaps
        text = np.frombuffer(self._text, np.uint8)
        marks = np.flatnonzero(np.isin(text, list(FIRST_BYTES)))
        marks = marks[~self._special[np.searchsorted(self._at, marks, side="right") - 1]]
        lines = gaps.end[(gaps.newlines > 0) & (gaps.line == gaps.end)]
        places = [mark for mark in marks.tolist() if OPENING_TEXT.match(self._text, mark)]
        places += [match.end() for mark in marks.tolist() if (match := CLOSING_TEXT.match(self._text, mark))]
        places += [line for line in lines.tolist() if ROLE_TEXT.match(self._text, line)]
        at = np.array(places, np.int64)
        gap = np.searchsorted(gaps.begin, at, side="right") - 1
        return np.where(gaps.end[gap] >= at, self._gap_tokens[gap], Gaps.empty(at).starting_tokens(self._at))
