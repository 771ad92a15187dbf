"""LongBench (arXiv 2308.14508): 21 datasets of long prompts in English, Chinese and code."""

import hashlib
import json

from . import jsonl, longbench_metrics
from .errors import DataError
from .example import Example

KEYS = ("input", "context", "answers", "length", "dataset", "language", "all_classes", "_id")
WITHOUT_CHAT = {"trec", "triviaqa", "samsum", "lsht", "lcc", "repobench-p"}
ENGLISH_AND_CODE = ("narrativeqa", "qasper", "multifieldqa_en", "hotpotqa", "2wikimqa", "musique", "gov_report",
                    "qmsum", "multi_news", "trec", "triviaqa", "samsum", "passage_count", "passage_retrieval_en",
                    "lcc", "repobench-p")

PUBLISHED_DIGESTS = {
    "dataset2prompt.json": "2132ae70b413e48c8bc02ea5f8f4a2c66a36fff8b826935ba3baf057ffdf9ba8",
    "dataset2maxlen.json": "637dc91fa91ac84703fedc5e1a5a57030164e3cc9229d4428e75d46a8f260dd8",
}


def canonical_digest(value):
    """SHA-256 of a JSON value, whatever its file's layout."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def default_input_tokens(context_window):
    """The published limits, 3,500 for a window of 4k up to 31,500 for 32k, as a rule of the window."""
    return min(31500, max(1000 * (context_window // 1024) - 500, context_window // 2))


def truncate_middle(prompt, codec, limit):
    """The prompt, or the text of its first and last limit // 2 tokens where it has more than `limit`."""
    ids = codec.encode(prompt, special_tokens=True)
    half = limit // 2
    return prompt if len(ids) <= limit else codec.decode(ids[:half]) + codec.decode(ids[-half:])


class LongBench:
    name = "longbench"
    title = "LongBench"
    headline = "score"
    mean_over_groups = True

    def __init__(self, datasets=ENGLISH_AND_CODE, input_tokens=None):
        """datasets: those to run; the default is the 16 that the paper's averages are over. input_tokens: longest
        prompt before truncation (None: from the model's window)."""
        unknown = set(datasets) - set(longbench_metrics.METRIC_OF_DATASET)
        if unknown:
            raise DataError(f"LongBench has no dataset {', '.join(sorted(unknown))}")
        self.datasets = tuple(datasets)
        self.input_tokens = input_tokens
        self.libraries = longbench_metrics.libraries_of(self.datasets)

    def files(self, data):
        return [self._config(data, name) for name in PUBLISHED_DIGESTS] + [
            jsonl.find(data, (f"{dataset}.jsonl", f"data/{dataset}.jsonl"), "from data.zip of THUDM/LongBench")
            for dataset in self.datasets]

    def notes(self, data):
        return [f"{name} is not the published one: figures cannot be compared with others'"
                for name, digest in PUBLISHED_DIGESTS.items()
                if canonical_digest(self._read_config(data, name)) != digest]

    def examples(self, data, codec, context_window):
        prompts, lengths = (self._read_config(data, name) for name in PUBLISHED_DIGESTS)
        limit = self.input_tokens or default_input_tokens(context_window)
        for dataset, path in zip(self.datasets, self.files(data)[len(PUBLISHED_DIGESTS):], strict=True):
            if dataset not in prompts or dataset not in lengths:
                raise DataError(f"{dataset} has no prompt or no length in LongBench's config")
            for row in jsonl.read(path, KEYS):
                yield Example(
                    name=f"{dataset}/{row['_id']}", group=dataset,
                    prompt=truncate_middle(prompts[dataset].format(**row), codec, limit),
                    max_new_tokens=lengths[dataset], as_chat=dataset not in WITHOUT_CHAT,
                    stop_at_newline=dataset == "samsum", min_new_tokens=int(dataset == "samsum"),
                    reference={"answers": row["answers"], "all_classes": row["all_classes"]})

    def score(self, response, example):
        return {"score": 100 * longbench_metrics.score(example.group, response, **self._truth(example))}

    @staticmethod
    def _truth(example):
        return {"answers": example.reference["answers"], "classes": example.reference["all_classes"]}

    @staticmethod
    def _config(data, name):
        return jsonl.find(data, (f"config/{name}", name), "from LongBench/config of github.com/THUDM/LongBench")

    def _read_config(self, data, name):
        path = self._config(data, name)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}: not JSON: {error}") from error
