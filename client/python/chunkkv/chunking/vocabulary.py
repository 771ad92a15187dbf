"""What each id of a tokenizer's vocabulary stands for in text, as bytes."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .markers import is_closing, is_opening

_MOST_REMEMBERED = 4
_SAMPLE = 64


class Vocabulary:
    """Bytes of every id, one behind the other, so that a prompt's text is one gather.

    blank bool [V]: nothing but white space. special, opens, closes bool [V]: a special token; one that begins or ends
    a turn or the whole text. Ids from V - 1 on stand for nothing.
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

    def known(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """`ids` with V - 1, which stands for nothing, in place of ids outside the vocabulary."""
        return np.asarray(np.minimum(ids, len(self._length) - 1), np.int64)

    def text(self, ids: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Text of known `ids` [L]: bytes uint8 [n], and where each token begins in them, int64 [L + 1], the last n."""
        lengths = self._length[ids]
        at = np.concatenate(([0], np.cumsum(lengths)))
        source = np.arange(at[-1]) + np.repeat(self._start[ids] - at[:-1], lengths)
        return self._bytes[source], at


_remembered: OrderedDict[int, tuple[Any, int, Vocabulary]] = OrderedDict()
_lock = threading.Lock()


def vocabulary_of(tokenizer: Any) -> Vocabulary:
    """The vocabulary of `tokenizer`, read where it was not seen lately or has grown since. Thread-safe."""
    size = _size(tokenizer)
    with _lock:
        found = _remembered.get(id(tokenizer))
        if found and found[1] == size:
            _remembered.move_to_end(id(tokenizer))
            return found[2]
    vocabulary = Vocabulary(*_read(tokenizer, size))
    with _lock:
        _remembered[id(tokenizer)] = (tokenizer, size, vocabulary)  # held, so that its id stays its own
        _remembered.move_to_end(id(tokenizer))
        while len(_remembered) > _MOST_REMEMBERED:
            _remembered.popitem(last=False)
    return vocabulary


def _size(tokenizer: Any) -> int:
    if hasattr(tokenizer, "get_vocab_size"):
        return int(tokenizer.get_vocab_size())
    return len(tokenizer) if hasattr(tokenizer, "__len__") else int(tokenizer.vocab_size)


def _read(tokenizer: Any, size: int) -> tuple[list[bytes], dict[int, str]]:
    """Bytes of each id, and the special tokens' text."""
    tokens = _tokens(tokenizer, size)
    added = _added(tokenizer)
    special = {index: token.content for index, token in added.items() if token.special}
    render = _renderer(tokenizer, tokens, added) if tokens else None
    if render:
        pieces = [b"" if token is None else render(token) for token in tokens]
        for index, token in added.items():
            pieces[index] = token.content.encode("utf-8", "surrogatepass")
    else:
        pieces = [_doubled(tokenizer, index) for index in range(size)]
    return pieces, special


def _tokens(tokenizer: Any, size: int) -> list[str | None]:
    """The vocabulary's entry of each id, None where an id has none; empty for a tokenizer that only decodes."""
    if hasattr(tokenizer, "get_vocab"):
        vocabulary = tokenizer.get_vocab()
        entries: list[str | None] = [None] * (max(vocabulary.values(), default=-1) + 1)
        for token, index in vocabulary.items():
            entries[index] = token
        return entries
    if hasattr(tokenizer, "convert_ids_to_tokens"):
        return list(tokenizer.convert_ids_to_tokens(list(range(size))))
    return []


def _added(tokenizer: Any) -> dict[int, Any]:
    """Tokens that stand for themselves, by id; each has `content` and `special`."""
    if hasattr(tokenizer, "added_tokens_decoder"):
        return dict(tokenizer.added_tokens_decoder)
    return dict(tokenizer.get_added_tokens_decoder()) if hasattr(tokenizer, "get_added_tokens_decoder") else {}


def _byte_level_alphabet() -> dict[int, int]:
    """Code point of each character of byte-level BPE to the byte it stands for (GPT-2's bytes_to_unicode, inverted)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: byte for byte in printable} | {256 + place: byte for place, byte in enumerate(others)}


_BYTE_LEVEL = _byte_level_alphabet()
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_level(token: str) -> bytes:
    try:
        return bytes([_BYTE_LEVEL[ord(character)] for character in token])
    except KeyError:
        return token.encode("utf-8", "surrogatepass")


def _sentence_piece(token: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode("utf-8", "surrogatepass")


def _word_piece(token: str) -> bytes:
    return (token[2:] if token.startswith("##") else " " + token).encode("utf-8", "surrogatepass")


def _word(token: str) -> bytes:
    return (" " + token).encode("utf-8", "surrogatepass")


def _plain(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")


def _renderer(tokenizer: Any, tokens: list[str | None], added: dict[int, Any]) -> Callable[[str], bytes] | None:
    """The reading of vocabulary entries that agrees with what the tokenizer decodes; None where none does."""
    usual = [index for index, token in enumerate(tokens)
             if token is not None and index not in added and not _BYTE_TOKEN.fullmatch(token)]
    words = [index for index in usual if re.fullmatch("(Ġ|▁|##)?[A-Za-z]+", tokens[index] or "")]
    first = next((index for index in words if not (tokens[index] or "").startswith("##")), None)
    samples = []
    for indices, keep in ((words, re.compile("�")), (usual, re.compile(r"�|\s"))):
        sample = ([] if first is None else [first]) + indices[::max(1, len(indices) // _SAMPLE)]
        samples.append((sample, keep, keep.sub("", tokenizer.decode(sample)).strip()))
    for render in (_byte_level, _sentence_piece, _word_piece, _word, _plain):
        if all(ignored.sub("", b"".join(render(tokens[index] or "") for index in sample).decode("utf-8", "replace"))
               .strip() == wanted for sample, ignored, wanted in samples):
            return render
    return None


def _doubled(tokenizer: Any, index: int) -> bytes:
    """What a token adds to the text when it follows another: itself, so that a space before it shows."""
    once, twice = tokenizer.decode([index]), tokenizer.decode([index, index])
    return str(twice)[len(once):].encode("utf-8", "surrogatepass")
