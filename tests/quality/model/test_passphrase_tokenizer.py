"""tokenizer.json, the vocabulary and the libraries that read the folder agree."""

import numpy as np
import pytest

import vocabulary
from folder import FOLDER
from prompts import make_prompt
from tokenizer import Tokenizer


def test_round_trip():
    tokenizer, prompt = Tokenizer(), make_prompt(256, seed=1)

    text = tokenizer.decode(prompt.tokens)
    np.testing.assert_array_equal(tokenizer.encode(text), prompt.tokens)
    assert text.split() == prompt.words[1:]


def test_words_are_distinct_and_fill_the_vocabulary():
    assert Tokenizer().words == vocabulary.WORDS
    assert len(set(vocabulary.WORDS)) == 512


def test_unknown_words_have_an_id():
    assert Tokenizer().encode("zyzzyva").tolist() == [1, 0]


def test_transformers_reads_the_same_ids():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    theirs, prompt = transformers.AutoTokenizer.from_pretrained(FOLDER), make_prompt(256, seed=2)
    text = Tokenizer().decode(prompt.tokens)

    assert theirs(text).input_ids == prompt.tokens.tolist()
    assert theirs.decode(prompt.tokens, skip_special_tokens=True) == text
