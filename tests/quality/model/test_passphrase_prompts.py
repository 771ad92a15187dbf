"""Prompts are exact in length, repeatable, unambiguous, and placed where they were asked to be."""

import numpy as np
import pytest

import vocabulary
from prompts import ANSWER_LENGTH, LONGEST_SENTENCE, QUESTION_LENGTH, SHORTEST_SENTENCE, make_prompt


@pytest.mark.parametrize("length", [80, 128, 333, 1024])
def test_sentences_cover_the_prompt(length):
    prompt = make_prompt(length, seed=1)
    lengths = np.diff(np.append(prompt.chunk_starts, length))
    stop = vocabulary.IDS["."]

    assert len(prompt.tokens) == length and prompt.chunk_starts[0] == 0
    assert all(prompt.tokens[prompt.chunk_starts[1:] - 1] == stop)
    assert lengths[-1] == QUESTION_LENGTH
    assert lengths.min() >= SHORTEST_SENTENCE and lengths[1:].max() <= LONGEST_SENTENCE


def test_a_seed_repeats_its_prompt():
    first, again, other = (make_prompt(256, seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first.tokens, again.tokens)
    assert not np.array_equal(first.tokens, other.tokens)


def test_the_asked_name_stands_before_its_answer():
    prompt = make_prompt(512, seed=3)
    needle = prompt.asked

    assert prompt.tokens[-1] == needle.name
    np.testing.assert_array_equal(prompt.tokens[needle.end - ANSWER_LENGTH - 2:needle.end - 1],
                                  [needle.name, *prompt.answer])
    assert needle.start in prompt.chunk_starts


def test_answer_words_appear_once():
    prompt = make_prompt(1024, seed=4, needles=6)

    for needle in prompt.needles:
        assert all(np.count_nonzero(prompt.tokens == word) == 1 for word in needle.answer)


def test_depth_places_the_asked_needle():
    starts = [make_prompt(1024, seed=5, depth=depth).asked.start for depth in (0, 0.5, 1)]

    assert starts[0] <= 60 and 400 < starts[1] < 620 and starts[2] > 940


def test_too_few_tokens_are_refused():
    with pytest.raises(ValueError, match="too few"):
        make_prompt(60, seed=0)
