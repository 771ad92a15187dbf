"""LongBench's loader, prompts and truncation, on files of its published format."""

import json

import pytest

from paper_benchmarks.errors import DataError
from paper_benchmarks.longbench import (ENGLISH_AND_CODE, PUBLISHED_DIGESTS, LongBench, canonical_digest,
                                        default_input_tokens, truncate_middle)

EXAMPLE = {"context": "Paris is large .", "input": "Which city?", "answers": ["Paris"]}


def load(published, codec, *datasets, **options):
    return list(LongBench(datasets, **options).examples(published.folder, codec, 8192))


def test_prompts_and_lengths_are_those_of_the_published_config(published, codec):
    published.longbench("qasper", [EXAMPLE], "Article: {context}\n\nQuestion: {input}\n\nAnswer:", max_new_tokens=128)
    published.longbench("samsum", [EXAMPLE, EXAMPLE], prompt="{context}\n\n{input}", max_new_tokens=16)
    qasper, *samsum = load(published, codec, "qasper", "samsum")

    assert qasper.name == "qasper/qasper-0" and qasper.group == "qasper"
    assert qasper.prompt == "Article: Paris is large .\n\nQuestion: Which city?\n\nAnswer:"
    assert qasper.max_new_tokens == 128 and qasper.as_chat and not qasper.stop_at_newline
    assert [example.name for example in samsum] == ["samsum/samsum-0", "samsum/samsum-1"]
    assert samsum[0].stop_at_newline and samsum[0].min_new_tokens == 1
    assert samsum[0].max_new_tokens == 16 and not samsum[0].as_chat


def test_scores_are_percent_of_the_datasets_metric(published, codec):
    published.longbench("qasper", [EXAMPLE])
    published.longbench("trec", [EXAMPLE | {"answers": ["City"], "all_classes": ["City", "Date"]}])
    qasper, trec = load(published, codec, "qasper", "trec")
    benchmark = LongBench()

    assert benchmark.score("in Paris", qasper) == {"score": pytest.approx(200 / 3)}
    assert benchmark.score("City Date", trec) == {"score": 50.0}


def test_braces_in_the_data_stay_as_they_are(published, codec):
    published.longbench("lcc", [EXAMPLE | {"context": "int f() { return {0}; }"}], "{context}Next line of code:\n")
    example, = load(published, codec, "lcc")
    assert example.prompt == "int f() { return {0}; }Next line of code:\n"


def test_long_prompts_lose_their_middle(codec):
    prompt = " ".join(f"w{index}" for index in range(20))
    assert truncate_middle(prompt, codec, 21) == prompt  # 20 words and the token that begins a prompt
    assert truncate_middle(prompt, codec, 20) == " ".join(f"w{index}" for index in [*range(9), *range(10, 20)])
    assert truncate_middle(prompt, codec, 7) == "w0 w1 w17 w18 w19"


def test_examples_are_truncated_to_the_limit(published, codec):
    published.longbench("qasper", [EXAMPLE | {"context": "word " * 500}])
    example, = load(published, codec, "qasper", input_tokens=100)
    assert len(codec.encode(example.prompt, special_tokens=True)) == 100
    assert example.prompt.endswith("Which city?\nA:")


@pytest.mark.parametrize("window, limit", [
    (4096, 3500), (8192, 7500), (16384, 15500), (32768, 31500), (131072, 31500), (1152, 576)])
def test_the_limit_follows_the_published_ones(window, limit):
    assert default_input_tokens(window) == limit


def test_a_config_that_is_not_the_published_one_is_noted(published, monkeypatch):
    published.longbench("qasper", [EXAMPLE], prompt="{input}", max_new_tokens=3)
    assert len(LongBench(["qasper"]).notes(published.folder)) == 2

    monkeypatch.setitem(PUBLISHED_DIGESTS, "dataset2prompt.json", canonical_digest({"qasper": "{input}"}))
    assert ["dataset2maxlen.json" in note for note in LongBench(["qasper"]).notes(published.folder)] == [True]


def test_the_digest_does_not_depend_on_layout_or_order():
    value = {"b": "é", "a": 1}
    assert canonical_digest(value) == canonical_digest(json.loads(json.dumps({"a": 1, "b": "é"}, indent=4)))


def test_the_default_is_the_sixteen_datasets_of_the_papers_average():
    assert len(ENGLISH_AND_CODE) == 16
    assert {"multifieldqa_zh", "dureader", "vcsum", "lsht", "passage_retrieval_zh"}.isdisjoint(ENGLISH_AND_CODE)


def test_what_is_wrong_with_the_data_is_said(published, codec):
    with pytest.raises(DataError, match="no config/dataset2prompt.json"):
        load(published, codec, "qasper")
    path = published.longbench("qasper", [EXAMPLE])
    with pytest.raises(DataError, match="no trec.jsonl"):
        load(published, codec, "trec")
    path.write_text('{"context": "x"}\n')
    with pytest.raises(DataError, match=r"qasper.jsonl:1: no input, answers"):
        load(published, codec, "qasper")
    path.write_text('\n{"context": \n')
    with pytest.raises(DataError, match="qasper.jsonl:2: not JSON"):
        load(published, codec, "qasper")
    with pytest.raises(DataError, match="no dataset squad"):
        LongBench(["squad"])
