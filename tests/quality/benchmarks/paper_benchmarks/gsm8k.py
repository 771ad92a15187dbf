"""GSM8K (arXiv 2110.14168) with chain of thought: eight published exemplars, or many of its own training problems."""

import random
import re
from decimal import Decimal

from . import chain_of_thought, jsonl
from .errors import DataError
from .example import Example

KEYS = ("question", "answer")
MAX_NEW_TOKENS = 256
NEXT_QUESTION = "\nQ:"

_NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?")
_CALCULATION = re.compile(r"<<.*?>>")


def last_number(text):
    """The last number of a text, as a Decimal: `$1,200.50` is 1200.50; None without one."""
    numbers = _NUMBER.findall(text)
    return Decimal(numbers[-1].replace("$", "").replace(",", "")) if numbers else None


def reasoning_and_answer(answer):
    """An answer of the published files as (reasoning on one line without calculator notes, the text after `####`)."""
    reasoning, mark, final = answer.rpartition("####")
    if not mark:
        raise DataError(f"an answer without ####: {answer[:80]!r}")
    return " ".join(_CALCULATION.sub("", reasoning).split()), final.strip().replace(",", "")


def prompt_of(shots, question):
    """Shots (question, reasoning, answer) in the form of Wei et al., then the question."""
    shown = (f"Q: {asked}\nA: {reasoning} The answer is {answer}.\n\n" for asked, reasoning, answer in shots)
    return "".join(shown) + f"Q: {question}\nA:"


class Gsm8k:
    name = "gsm8k"
    title = "GSM8K"
    headline = "accuracy"
    libraries = ()
    mean_over_groups = False

    def files(self, data):
        return [_file(data, "test")]

    def notes(self, data):
        return []

    def shots(self, data):
        return chain_of_thought.EXEMPLARS

    def examples(self, data, codec, context_window):
        shots = self.shots(data)
        for index, row in enumerate(jsonl.read(_file(data, "test"), KEYS)):
            yield Example(name=f"{self.name}/{index}", group=self.name, prompt=prompt_of(shots, row["question"]),
                          max_new_tokens=MAX_NEW_TOKENS, stop_text=NEXT_QUESTION,
                          reference={"answer": reasoning_and_answer(row["answer"])[1]})

    def score(self, response, example):
        """Exact match of the last number before the model asks a question of its own."""
        own = response.split(NEXT_QUESTION)[0]
        wanted = last_number(example.reference["answer"])
        return {"accuracy": 100.0 * (wanted is not None and last_number(own) == wanted)}


class ManyShotGsm8k(Gsm8k):
    """Many-shot (arXiv 2404.11018): the exemplars are problems of the training file, the same for all questions."""

    name = "many-shot-gsm8k"
    title = "many-shot GSM8K"

    def __init__(self, shot_count=50, seed=0):
        self.shot_count = shot_count
        self.seed = seed

    def files(self, data):
        return [_file(data, "test"), _file(data, "train")]

    def shots(self, data):
        rows = jsonl.read(_file(data, "train"), KEYS)
        if len(rows) < self.shot_count:
            raise DataError(f"{self.shot_count} shots of {len(rows)} training problems")
        chosen = random.Random(self.seed).sample(rows, self.shot_count)
        return [(row["question"], *reasoning_and_answer(row["answer"])) for row in chosen]


def _file(data, split):
    return jsonl.find(data, (f"{split}.jsonl", f"grade_school_math/data/{split}.jsonl"),
                      "from github.com/openai/grade-school-math")
