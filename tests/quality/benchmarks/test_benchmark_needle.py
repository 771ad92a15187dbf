"""Needle in a Haystack: where the needle lies, the grid of lengths and depths, and its scores."""

import pytest

from paper_benchmarks import needle
from paper_benchmarks.errors import DataError, OptionError
from paper_benchmarks.needle import NeedleInAHaystack, hide

SENTENCES = " ".join(f"one two three four{index} ." for index in range(40)) + " "


@pytest.mark.parametrize("depth, before", [(0, 0), (11, 10), (50, 50), (54, 50), (55, 55), (99, 95), (100, 100)])
def test_the_needle_follows_the_end_of_a_sentence(codec, depth, before):
    haystack = codec.encode(SENTENCES)[:100]
    wanted = codec.encode(" NEEDLE here .")
    hidden = hide(wanted, haystack, depth, codec)
    assert hidden[before:before + 3] == wanted and hidden[:before] + hidden[before + 3:] == haystack


def test_a_haystack_without_sentences_has_the_needle_first(codec):
    assert hide([1], codec.encode("a b c d"), 50, codec)[0] == 1


def test_the_grid_is_lengths_by_depths(published, codec):
    published.essays(SENTENCES, SENTENCES)
    benchmark = NeedleInAHaystack(lengths=(300, 500, 9000), depths=(0, 50, 100))
    examples = list(benchmark.examples(published.folder, codec, 8192))

    assert [(example.reference["length"], example.reference["depth"]) for example in examples] == [
        (length, depth) for length in (300, 500) for depth in (0, 50, 100)]
    assert [example.group for example in examples[::3]] == ["300 tokens", "500 tokens"]
    assert all(example.prompt.count(needle.NEEDLE.strip()) == 1 for example in examples)
    lengths = [len(codec.encode(example.prompt)) for example in examples]
    assert all(length - needle.MARGIN < len_ < length for length, len_ in zip((300, 300, 300, 500, 500, 500), lengths))
    assert examples[0].prompt.endswith("Question: The best thing to do in San Francisco is: \nAnswer:")
    assert examples[0].stop_at_newline and not examples[0].as_chat and examples[0].max_new_tokens == 30


def test_the_defaults_are_the_published_grid():
    assert needle.LENGTHS[0] == 1000 and needle.LENGTHS[-1] == 8000 and len(needle.LENGTHS) == 71
    assert needle.DEPTHS == (0, 11, 22, 33, 44, 56, 67, 78, 89, 100)


def test_essays_repeat_where_they_are_too_short(published, codec):
    published.essays("few words here .")
    example, = NeedleInAHaystack(lengths=(400,), depths=(100,)).examples(published.folder, codec, 8192)
    assert example.prompt.count("few words here") > 30


def test_rouge_and_recall_against_known_values(published, codec):
    pytest.importorskip("rouge_score")
    published.essays(SENTENCES)
    benchmark = NeedleInAHaystack()
    example = next(benchmark.examples(published.folder, codec, 8192))

    whole = benchmark.score(needle.NEEDLE, example)
    assert whole == {"rouge1": pytest.approx(100), "recall": pytest.approx(100)}
    half = benchmark.score("eat a sandwich", example)  # of 21 words, and of 11 distinct ones
    assert half == {"rouge1": pytest.approx(100 * 2 * 3 / (3 + 21)), "recall": pytest.approx(100 * 3 / 11)}
    assert benchmark.score("", example) == {"rouge1": 0, "recall": 0}
    assert benchmark.score("I do not know", example)["recall"] == 0


@pytest.mark.parametrize("template, message", [
    ("{question}", "no {context}"), ("{context} {book}", "KeyError.*'book'"), ("{context} {}", "IndexError"),
    ("{context", "ValueError"), ("{context.text}", "AttributeError")])
def test_a_template_that_cannot_be_filled_is_refused(template, message):
    with pytest.raises(OptionError, match=f"template.*{message}"):
        NeedleInAHaystack(template=template)


def test_what_is_wrong_with_the_data_is_said(published, codec):
    with pytest.raises(DataError, match=r"no \*.txt"):
        list(NeedleInAHaystack().examples(published.folder, codec, 8192))
    published.essays("")
    with pytest.raises(DataError, match="empty"):
        list(NeedleInAHaystack().examples(published.folder, codec, 8192))
    published.essays(SENTENCES)
    with pytest.raises(DataError, match="no length fits the model's window of 512"):
        list(NeedleInAHaystack().examples(published.folder, codec, 512))
    with pytest.raises(DataError, match="no room"):
        list(NeedleInAHaystack(lengths=(210,)).examples(published.folder, codec, 8192))
