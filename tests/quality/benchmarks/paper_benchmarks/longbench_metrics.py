"""LongBench's metrics, as its eval.py and metrics.py define them (arXiv 2308.14508); each in [0, 1].

ROUGE is PyPI's `rouge` and words are cut by `jieba`, as published. Edit similarity is what `fuzzywuzzy` computes with
the published requirements (no python-Levenshtein): difflib's ratio, rounded to whole percents.
"""

import contextlib
import difflib
import re
import string
import sys
from collections import Counter

from .optional import Library

JIEBA = Library("jieba", "jieba", "LongBench's Chinese metrics")
ROUGE = Library("rouge", "rouge", "LongBench's ROUGE-L")

_ENGLISH_PUNCTUATION = set(string.punctuation)
_ALL_PUNCTUATION = _ENGLISH_PUNCTUATION | set(
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏.")


def _without(text, characters):
    return "".join(character for character in text if character not in characters)


def _english_words(text):
    text = _without(text.lower(), _ENGLISH_PUNCTUATION)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _cut(text):
    jieba = JIEBA.load()
    jieba.setLogLevel("ERROR")
    return list(jieba.cut(text, cut_all=False))


def _chinese_words(text):
    words = ("".join(_without(word.lower(), _ALL_PUNCTUATION).split()) for word in _cut(text))
    return [word for word in words if word]


def _f1(prediction, truth):
    """F1 of two bags of words."""
    common = sum((Counter(prediction) & Counter(truth)).values())
    if not common:
        return 0.0
    precision, recall = common / len(prediction), common / len(truth)
    return 2 * precision * recall / (precision + recall)


def qa_f1(prediction, truth, classes=()):
    """F1 of words, without case, punctuation and articles."""
    return _f1(_english_words(prediction), _english_words(truth))


def qa_f1_zh(prediction, truth, classes=()):
    """F1 of jieba's words, without case and punctuation."""
    return _f1(_chinese_words(prediction), _chinese_words(truth))


@contextlib.contextmanager
def _recursion_depth(depth):
    """`rouge` walks back along the longest common subsequence by recursion, one call a word; the published script gives
    0 to what exceeds Python's limit."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, depth))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def rouge_l(prediction, truth, classes=()):
    """ROUGE-L F; 0 where either text has no words."""
    rouge = ROUGE.load()
    with _recursion_depth(2000 + len(prediction.split()) + len(truth.split())):
        try:
            return rouge.Rouge(metrics=["rouge-l"]).get_scores([prediction], [truth], avg=True)["rouge-l"]["f"]
        except (ValueError, ZeroDivisionError):
            return 0.0


def rouge_l_zh(prediction, truth, classes=()):
    """ROUGE-L F of jieba's words."""
    return rouge_l(" ".join(_cut(prediction)), " ".join(_cut(truth)))


def classification(prediction, truth, classes=()):
    """1 / (classes named in the prediction) where the right one is among them. Names that are part of the right one do
    not count, but of two such names in a row the published loop lets the second stand, and so does this."""
    named = [name for name in classes if name in prediction]
    index = 0
    while index < len(named):
        if named[index] in truth and named[index] != truth:
            del named[index]
        index += 1
    return 1 / len(named) if truth in named else 0.0


def _share_of_numbers(prediction, wanted):
    numbers = re.findall(r"\d+", prediction)
    return numbers.count(wanted) / len(numbers) if numbers else 0.0


def count(prediction, truth, classes=()):
    """Share of the prediction's numbers that are the right one."""
    return _share_of_numbers(prediction, str(truth))


def retrieval(prediction, truth, classes=()):
    """The same, for "Paragraph N"."""
    return _share_of_numbers(prediction, re.search(r"Paragraph (\d+)", truth)[1])


def retrieval_zh(prediction, truth, classes=()):
    """The same, for "段落N"."""
    return _share_of_numbers(prediction, re.search(r"段落(\d+)", truth)[1])


def code_similarity(prediction, truth, classes=()):
    """Edit similarity of the prediction's first line that is neither comment nor Markdown fence."""
    lines = (line for line in prediction.lstrip("\n").split("\n") if not re.search("`|#|//", line))
    return round(100 * difflib.SequenceMatcher(None, next(lines, ""), truth).ratio()) / 100


METRIC_OF_DATASET = {
    "narrativeqa": qa_f1, "qasper": qa_f1, "multifieldqa_en": qa_f1, "multifieldqa_zh": qa_f1_zh,
    "hotpotqa": qa_f1, "2wikimqa": qa_f1, "musique": qa_f1, "dureader": rouge_l_zh,
    "gov_report": rouge_l, "qmsum": rouge_l, "multi_news": rouge_l, "vcsum": rouge_l_zh,
    "trec": classification, "triviaqa": qa_f1, "samsum": rouge_l, "lsht": classification,
    "passage_count": count, "passage_retrieval_en": retrieval, "passage_retrieval_zh": retrieval_zh,
    "lcc": code_similarity, "repobench-p": code_similarity,
}

LIBRARIES_OF_METRIC = {qa_f1_zh: (JIEBA,), rouge_l: (ROUGE,), rouge_l_zh: (JIEBA, ROUGE)}

FIRST_LINE_ONLY = {"trec", "triviaqa", "samsum", "lsht"}


def libraries_of(datasets):
    """What scoring the datasets needs, each once."""
    metrics = (METRIC_OF_DATASET[dataset] for dataset in datasets)
    return tuple(dict.fromkeys(library for metric in metrics for library in LIBRARIES_OF_METRIC.get(metric, ())))


def score(dataset, prediction, answers, classes):
    """The best score of the prediction over the answers; of few-shot datasets only the first line counts."""
    if dataset in FIRST_LINE_ONLY:
        prediction = prediction.lstrip("\n").split("\n")[0]
    return max((METRIC_OF_DATASET[dataset](prediction, answer, classes or ()) for answer in answers), default=0.0)
