"""What each id of a tokenizer's vocabulary stands for in text, as bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .markers import is_closing, is_opening
from .reading import read_vocabulary, size_of

_MOST_REMEMBERED = 4


class Vocabulary:
    """Bytes of every id, one behind the other, so that a prompt's text is one gather.

    blank bool [V + 1]: nothing but white space. special, opens, closes bool [V + 1]: a special token; one that begins
    or ends a turn or the whole text. The last place is that of ids outside the vocabulary, which stand for nothing.
    """

    def __init__(self, pieces: list[bytes], special: dict[int, str]) -> None:
        pieces = [*pieces, b""]
        self._length = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self._start = np.cumsum(self._length) - self._length
        self._bytes = np.frombuffer(b"".join(pieces), np.uint8)
        self.blank = np.fromiter((not piece.strip() for piece in pieces), np.bool_, len(pieces))
        self.special, self.opens, self.closes = (np.zeros(len(pieces), np.bool_) for _ in range(3))
        for index, content in special.items():
            self.special[index] = True
            self.opens[index], self.closes[index] = is_opening(content), is_closing(content)

    def __len__(self) -> int:
        return len(self._length) - 1

    def known(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """`ids` with V in place of those outside the vocabulary."""
        return np.asarray(np.minimum(ids, len(self)), np.int64)

    def text(self, ids: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Text of known `ids` [L]: bytes uint8 [n], and where each token begins in them, int64 [L + 1], the last n."""
        lengths = self._length[ids]
        at = np.concatenate(([0], np.cumsum(lengths)))
        source = np.arange(at[-1]) + np.repeat(self._start[ids] - at[:-1], lengths)
        return self._bytes[source], at


@dataclass(frozen=True)
class _Remembered:
    tokenizer: Any  # held, so that its id stays its own
    size: int
    vocabulary: Vocabulary


_remembered: OrderedDict[int, _Remembered] = OrderedDict()
_lock = threading.Lock()


def vocabulary_of(tokenizer: Any, largest_id: int) -> Vocabulary:
    """The vocabulary of `tokenizer`, read where it was not seen lately, or has grown and `largest_id` is new.
    Thread-safe."""
    with _lock:
        found = _remembered.get(id(tokenizer))
        if found:
            _remembered.move_to_end(id(tokenizer))
    if found and largest_id < len(found.vocabulary):
        return found.vocabulary
    size = size_of(tokenizer)  # tens of ms with large vocabularies
    if found and found.size == size:
        return found.vocabulary
    vocabulary = Vocabulary(*read_vocabulary(tokenizer, size))
    with _lock:
        _remembered[id(tokenizer)] = _Remembered(tokenizer, size, vocabulary)
        _remembered.move_to_end(id(tokenizer))
        while len(_remembered) > _MOST_REMEMBERED:
            _remembered.popitem(last=False)
    return vocabulary
