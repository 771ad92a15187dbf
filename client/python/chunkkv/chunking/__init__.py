"""Chunks that follow the text: where sentences, lines, paragraphs, chat turns or pieces of code begin, as token
positions for `CompactionSpec.chunk_starts`.

How: a token's bytes are read once a tokenizer; a prompt's text is then put together from them, never encoded again, and
boundaries are looked for on its bytes, so that they may fall inside a token and a token may hold part of a character.
All is NumPy over whole prompts; only full stops that may belong to an abbreviation are looked at one by one. Character
classes come from the standard library's Unicode data. Sentence segmenters were not taken: pysbd is a list of regular
expressions for one language at a time, `regex` has Unicode's word and grapheme boundaries but not its sentences, and
both work on text whose places would have to be led back to tokens; each costs more than the prompt's prefill allows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .boundaries import Boundaries
from .lengths import cut_long, merge_short
from .vocabulary import vocabulary_of

__all__ = ["LIMITS", "chunk_starts"]

LIMITS = {"sentences": (4, 64), "lines": (4, 64), "paragraphs": (8, 256), "turns": (8, 256), "code": (8, 128)}
"""For each kind of span the shortest and the longest in tokens, where the caller names none."""


def chunk_starts(tokens: npt.ArrayLike, tokenizer: Any, by: str = "sentences", *, shortest: int | None = None,
                 longest: int | None = None, sink_tokens: int = 0) -> npt.NDArray[np.int32]:
    """Where chunks begin: int32, ascending, unique, within [sink_tokens, L), the first equal to `sink_tokens`; empty
    where there are no tokens after the sinks.

    tokens: ids [L] of the prompt. tokenizer: a fast or slow tokenizer of transformers, a `tokenizers.Tokenizer`, or any
    object with `get_vocab`, `convert_ids_to_tokens` and a length, or `decode` and a length. The first call with it
    reads its vocabulary (about half a second for 128k entries); the last few tokenizers are remembered.

    by: `sentences` (a line that does not run on ends one too), `lines`, `paragraphs` (blank lines between them),
    `turns` (from special tokens such as <|im_start|>, or the same written out, [INST], "User:" at a line's start; a
    prompt without any is one turn) or `code` (fenced blocks; after blank lines or an indented body, a line without
    indentation). White space belongs to what it follows, indentation to its line. The begin and the end of a turn,
    where they are special tokens, bound all kinds.

    longest: spans above it are cut into near-even pieces, at the best places near the even ones: ends of lines,
    sentences, clauses, words. shortest: shorter spans join a neighbour, over the weaker of their two boundaries (a
    heading joins what follows it). `longest` is kept always, `shortest` where
    2 * shortest <= longest and so many tokens are there.

    Errors: ValueError for an unknown `by`, limits that are not 1 <= shortest <= longest, a negative `sink_tokens`,
    tokens that are not a list of ids.
    """
    if by not in LIMITS:
        raise ValueError(f"by is {by!r}; known: {', '.join(LIMITS)}")
    default_shortest, default_longest = LIMITS[by]
    if longest is None:
        longest = max(default_longest, shortest or 0)
    if shortest is None:
        shortest = min(default_shortest, longest)
    if not 1 <= shortest <= longest:
        raise ValueError(f"shortest is {shortest} and longest {longest}; 1 <= shortest <= longest is needed")
    if sink_tokens < 0:
        raise ValueError(f"sink_tokens is {sink_tokens}")
    ids = np.asarray(tokens)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu") or (ids.size and ids.min() < 0):
        raise ValueError(f"tokens must be a list of ids, not {ids.dtype} {list(ids.shape)}")
    if sink_tokens >= len(ids):
        return np.zeros(0, np.int32)

    boundaries = Boundaries(ids, vocabulary_of(tokenizer, int(ids.max())))
    found = boundaries.starts(by)
    starts = np.concatenate(([sink_tokens], found[found > sink_tokens]))
    starts = merge_short(starts, len(ids), boundaries.strength, shortest, longest)
    return cut_long(starts, len(ids), boundaries.strength, shortest, longest).astype(np.int32)
