"""Reads the vocabulary of a tokenizer: the bytes that each id adds to a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_SAMPLE = 64


def size_of(tokenizer: Any) -> int:
    """How many ids the tokenizer has."""
    if hasattr(tokenizer, "get_vocab_size"):
        return int(tokenizer.get_vocab_size())
    return len(tokenizer) if hasattr(tokenizer, "__len__") else int(tokenizer.vocab_size)


def read_vocabulary(tokenizer: Any, size: int) -> tuple[list[bytes], dict[int, str]]:
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
    for indices, ignored in ((words, re.compile("�")), (usual, re.compile(r"�|\s"))):
        sample = ([] if first is None else [first]) + indices[::max(1, len(indices) // _SAMPLE)]
        samples.append((sample, ignored, ignored.sub("", tokenizer.decode(sample)).strip()))
    for render in (_byte_level, _sentence_piece, _word_piece, _word, _plain):
        if all(ignored.sub("", b"".join(render(tokens[index] or "") for index in sample).decode("utf-8", "replace"))
               .strip() == wanted for sample, ignored, wanted in samples):
            return render
    return None


def _doubled(tokenizer: Any, index: int) -> bytes:
    """What a token adds to the text when it follows another: itself, so that a space before it shows."""
    once, twice = tokenizer.decode([index]), tokenizer.decode([index, index])
    return str(twice)[len(once):].encode("utf-8", "surrogatepass")
