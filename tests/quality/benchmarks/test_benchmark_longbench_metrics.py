"""LongBench's metrics against values worked out by hand from its published definitions."""

import pytest

from paper_benchmarks import longbench_metrics as metrics


@pytest.mark.parametrize("prediction, truth, expected", [
    ("The cat sat.", "a cat sat", 1.0),
    ("the red cat", "red dog", 0.5),  # {red, cat} and {red, dog}
    ("cat cat cat", "cat", 0.5),  # precision 1/3, recall 1
    ("", "cat", 0.0),
    ("The.", "the", 0.0),  # nothing is left of either
    ("it's Well-Known", "its wellknown", 1.0),
])
def test_qa_f1_ignores_case_punctuation_and_articles(prediction, truth, expected):
    assert metrics.qa_f1(prediction, truth) == pytest.approx(expected)


def test_qa_f1_zh_counts_words_as_jieba_cuts_them():
    pytest.importorskip("jieba")
    assert metrics.qa_f1_zh("我们，在北京。", "我们在北京") == 1.0
    assert metrics.qa_f1_zh("我们在北京", "我们在上海") == pytest.approx(2 / 3)  # 我们 在 of 我们 在 北京
    assert metrics.qa_f1_zh("，。", "北京") == 0.0


def test_rouge_l_is_the_f_of_the_longest_common_subsequence():
    pytest.importorskip("rouge")
    assert metrics.rouge_l("the cat sat on the mat", "the cat sat on the mat") == pytest.approx(1.0)
    assert metrics.rouge_l("a b c d", "a x c y") == pytest.approx(0.5)
    assert metrics.rouge_l("a b c", "a b c d e f") == pytest.approx(2 / 3)
    assert metrics.rouge_l("", "a b") == metrics.rouge_l("a b", "") == metrics.rouge_l(".", "a") == 0.0


def test_rouge_l_of_texts_beyond_the_interpreters_recursion_limit():
    pytest.importorskip("rouge")
    first, second = ([f"{letter}{index}" for index in range(519)] for letter in "ab")
    assert metrics.rouge_l(" ".join(["same", *first]), " ".join(["same", *second])) == pytest.approx(1 / 520, abs=1e-6)


def test_rouge_l_zh_is_rouge_l_of_words():
    pytest.importorskip("rouge"), pytest.importorskip("jieba")
    assert metrics.rouge_l_zh("我们在北京", "我们在上海") == pytest.approx(2 / 3, abs=1e-6)


@pytest.mark.parametrize("prediction, truth, classes, expected", [
    ("Type: Date", "Date", ["Date", "City"], 1.0),
    ("Date or City", "Date", ["Date", "City"], 0.5),
    ("City", "Date", ["Date", "City"], 0.0),
    ("Other number", "Other number", ["number", "Other number"], 1.0),  # part of the right one: does not count
    ("Definition of something", "Definition of something", ["Definition of something", "Definition", "of"], 0.5),
    ("", "Date", ["Date"], 0.0),
])
def test_classification(prediction, truth, classes, expected):
    """The fifth row: of two parts of the right name in a row, the published loop misses the second."""
    assert metrics.classification(prediction, truth, classes) == expected


@pytest.mark.parametrize("metric, prediction, truth, expected", [
    (metrics.count, "There are 7.", "7", 1.0),
    (metrics.count, "7 or 8", "7", 0.5),
    (metrics.count, "17", "7", 0.0),
    (metrics.count, "none", "7", 0.0),
    (metrics.retrieval, "Paragraph 12", "Paragraph 12", 1.0),
    (metrics.retrieval, "Paragraph 12, not 3, 4 or 5", "Paragraph 12", 0.25),
    (metrics.retrieval, "Paragraph 1", "Paragraph 12", 0.0),
    (metrics.retrieval_zh, "段落3", "段落3", 1.0),
    (metrics.retrieval_zh, "段落3和段落4", "段落3", 0.5),
])
def test_shares_of_numbers(metric, prediction, truth, expected):
    assert metric(prediction, truth) == expected


@pytest.mark.parametrize("prediction, truth, expected", [
    ("\n# comment\nreturn x\nmore", "return x", 1.0),
    ("```python\nreturn x", "return x", 1.0),
    ("// note", "", 1.0),  # no line of code is left, and none was wanted
    ("abc", "abd", 0.67),
    ("kitten sits", "sitting kit", 0.27),  # difflib's blocks, not the edit distance
])
def test_code_similarity_takes_the_first_line_of_code(prediction, truth, expected):
    assert metrics.code_similarity(prediction, truth) == expected


def test_the_best_answer_counts_and_few_shot_datasets_see_one_line():
    assert metrics.score("qasper", "yes\nno", ["no", "yes no"], None) == 1.0
    assert metrics.score("triviaqa", "\nyes\nno", ["yes"], None) == 1.0
    assert metrics.score("trec", "City\nDate", ["Date"], ["City", "Date"]) == 0.0
    assert metrics.score("trec", "Date", [], ["Date"]) == 0.0


def test_every_published_dataset_has_its_metric():
    assert len(metrics.METRIC_OF_DATASET) == 21
    assert metrics.METRIC_OF_DATASET["dureader"] is metrics.rouge_l_zh
    assert metrics.METRIC_OF_DATASET["repobench-p"] is metrics.code_similarity


def test_datasets_need_the_libraries_of_their_metrics():
    assert metrics.libraries_of(["qasper", "lcc"]) == ()
    assert metrics.libraries_of(["qmsum", "dureader", "multifieldqa_zh"]) == (metrics.ROUGE, metrics.JIEBA)


def test_a_missing_library_is_named_with_its_package(monkeypatch):
    import sys

    from paper_benchmarks.errors import MissingLibrary

    monkeypatch.setitem(sys.modules, "rouge", None)
    with pytest.raises(MissingLibrary, match="pip install rouge"):
        metrics.rouge_l("a", "a")
