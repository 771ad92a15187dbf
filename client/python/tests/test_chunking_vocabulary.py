"""The text of token ids, put together from a vocabulary read once."""

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from chunking_tokenizers import CORPUS, KINDS, byte_level  # noqa: E402
from chunkkv.chunking.vocabulary import vocabulary_of  # noqa: E402


def text_of(tokenizer, ids):
    vocabulary = vocabulary_of(tokenizer, max(ids))
    return vocabulary.text(vocabulary.known(np.array(ids)))[0].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_what_the_tokenizer_decodes(kind):
    tokenizer = KINDS[kind]()
    for text in CORPUS:
        ids = [index for index in tokenizer.encode(text).ids if tokenizer.id_to_token(index) != "<unk>"]
        assert text_of(tokenizer, ids).decode().strip() == tokenizer.decode(ids).strip()


def test_each_token_has_its_bytes_and_parts_of_characters_add_up():
    tokenizer = byte_level()
    ids = tokenizer.encode("😀 是").ids
    assert len(ids) > 2, "the characters must be in pieces for this to show anything"
    vocabulary = vocabulary_of(tokenizer, max(ids))
    text, at = vocabulary.text(vocabulary.known(np.array(ids)))
    assert text.tobytes().decode() == "😀 是"
    assert at[0] == 0 and at[-1] == len(text) and (np.diff(at) > 0).all()


class OnlyConverts:
    """A tokenizer of convert_ids_to_tokens and decode."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer

    def __len__(self):
        return self._tokenizer.get_vocab_size()

    def convert_ids_to_tokens(self, ids):
        return [self._tokenizer.id_to_token(index) for index in ids]

    def decode(self, ids):
        return self._tokenizer.decode(ids, skip_special_tokens=False)


class OnlyDecodes:
    """A tokenizer that has nothing but decode and a size."""

    def __init__(self, tokenizer):
        self.vocab_size = tokenizer.get_vocab_size()
        self.decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("wrapper", [OnlyConverts, OnlyDecodes])
@pytest.mark.parametrize("kind", ["byte_level", "unigram", "word_level"])
def test_tokenizers_with_less_to_offer_give_the_same_text(kind, wrapper):
    tokenizer = KINDS[kind]()
    ids = tokenizer.encode("The quick brown fox jumps over lazy dogs").ids
    ids = [index for index in ids if tokenizer.id_to_token(index) != "<unk>"]
    assert ids
    assert text_of(wrapper(tokenizer), ids) == text_of(tokenizer, ids)


def test_transformers_tokenizers_give_the_same_text():
    transformers = pytest.importorskip("transformers")
    tokenizer = byte_level()
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    ids = tokenizer.encode("<|im_start|>user\nIs it here?<|im_end|>").ids
    assert text_of(wrapped, ids) == text_of(tokenizer, ids) == b"<|im_start|>user\nIs it here?<|im_end|>"


def test_special_tokens_are_told_apart():
    tokenizer = byte_level()
    vocabulary = vocabulary_of(tokenizer, 0)
    opens, closes, neutral = (tokenizer.token_to_id(token) for token in ("<|im_start|>", "<|im_end|>", "<unk>"))
    assert vocabulary.opens[opens] and not vocabulary.closes[opens]
    assert vocabulary.closes[closes] and not vocabulary.opens[closes]
    assert vocabulary.special[neutral] and not vocabulary.opens[neutral] and not vocabulary.closes[neutral]
    assert np.count_nonzero(vocabulary.special) == 4


def test_a_tokenizer_is_read_once_and_again_when_it_has_grown():
    tokenizer = byte_level()
    first = vocabulary_of(tokenizer, 0)
    assert vocabulary_of(tokenizer, 0) is first and vocabulary_of(tokenizer, 10**6) is first
    tokenizer.add_special_tokens(["<|extra|>"])
    assert text_of(tokenizer, [tokenizer.token_to_id("<|extra|>")]) == b"<|extra|>"


def test_ids_beyond_the_vocabulary_stand_for_nothing():
    tokenizer = byte_level()
    assert text_of(tokenizer, [10**6, tokenizer.token_to_id("a"), 10**9]) == b"a"
