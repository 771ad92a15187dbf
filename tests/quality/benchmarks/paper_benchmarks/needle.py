"""Needle in a Haystack (github.com/gkamradt/LLMTest_NeedleInAHaystack): one sentence hidden in essays, asked for at the
end, over depths and lengths; the version for open models that KV compression repositories use (KVCache-Factory)."""

from functools import lru_cache
from string import Formatter

import numpy as np

from .errors import DataError, OptionError
from .example import Example
from .optional import Library

NEEDLE = "\nThe best thing to do in San Francisco is eat a sandwich and sit in Dolores Park on a sunny day.\n"
QUESTION = "The best thing to do in San Francisco is: "
ANSWER = "eat a sandwich and sit in Dolores Park on a sunny day."
TEMPLATE = ("<|im_start|> This is a very long story book: <book> {context} </book>.\n Based on the content of the "
            "book, Question: {question}\nAnswer:")
LENGTHS = tuple(range(1000, 8001, 100))
DEPTHS = tuple(int(depth) for depth in np.round(np.linspace(0, 100, 10)))
MAX_NEW_TOKENS = 30
MARGIN = 200
ROUGE_SCORE = Library("rouge_score.rouge_scorer", "rouge-score", "Needle in a Haystack's ROUGE-1")


def hide(needle, haystack, depth, codec):
    """Token ids of the haystack with the needle at `depth` percent, moved back to the end of a sentence (to the very
    beginning where none ends before)."""
    if depth >= 100:
        return haystack + needle
    place = int(len(haystack) * depth / 100)
    while place and not codec.decode(haystack[place - 1:place]).rstrip().endswith("."):
        place -= 1
    return haystack[:place] + needle + haystack[place:]


def check_template(template):
    """Errors: OptionError where a template does not take {context}, or takes what is neither that nor {question}."""
    try:
        template.format(context="", question="")
        fields = {field for _, field, _, _ in Formatter().parse(template)}
    except (LookupError, ValueError, AttributeError) as error:
        raise OptionError(
            f"the template {template!r} may have {{context}} and {{question}} alone: {error!r}") from error
    if "context" not in fields:
        raise OptionError(f"the template {template!r} has no {{context}}")


@lru_cache(maxsize=1)
def _scorer():
    return ROUGE_SCORE.load().RougeScorer(["rouge1"], use_stemmer=True)


class NeedleInAHaystack:
    name = "needle"
    title = "Needle in a Haystack"
    headline = "rouge1"
    libraries = (ROUGE_SCORE,)
    mean_over_groups = False

    def __init__(self, lengths=LENGTHS, depths=DEPTHS, needle=NEEDLE, question=QUESTION, answer=ANSWER,
                 template=TEMPLATE, margin=MARGIN, max_new_tokens=MAX_NEW_TOKENS):
        """lengths: tokens, of which `margin` are left for template, question and response; depths: percent.
        template: with {context} and {question}. Errors: OptionError."""
        check_template(template)
        self.lengths, self.depths = tuple(lengths), tuple(depths)
        self.margin, self.max_new_tokens = margin, max_new_tokens
        self.needle, self.question, self.answer, self.template = needle, question, answer, template

    def files(self, data):
        files = sorted(data.glob("*.txt"))
        if not files:
            raise DataError(f"{data} has no *.txt: essays, such as PaulGrahamEssays of LLMTest_NeedleInAHaystack")
        return files

    def notes(self, data):
        return ["scored by ROUGE-1 with the needle; the paper's figures were judged by a model (GPT-4o-mini)"]

    def examples(self, data, codec, context_window):
        """One a length and depth; lengths beyond the model's window are left out."""
        lengths = [length for length in self.lengths if length <= context_window]
        if not lengths:
            raise DataError(f"no length fits the model's window of {context_window} tokens")
        needle = codec.encode(self.needle)
        haystack = self._haystack(data, codec, max(lengths))
        for length in lengths:
            room = length - self.margin - len(needle)
            if room < 0:
                raise DataError(f"a length of {length} has no room for the needle and {self.margin} tokens more")
            for depth in self.depths:
                context = codec.decode(hide(needle, haystack[:room], depth, codec))
                yield Example(name=f"needle/{length}/{depth}", group=f"{length} tokens",
                              prompt=self.template.format(context=context, question=self.question),
                              max_new_tokens=self.max_new_tokens, stop_at_newline=True,
                              reference={"length": length, "depth": depth})

    def score(self, response, example):
        """rouge1: F1 of ROUGE-1 with the needle (KVCache-Factory's score, there times 10). recall: share of the
        answer's words in the response, which its heat maps show."""
        wanted = set(self.answer.lower().split())
        found = wanted & set(response.lower().split())
        rouge = _scorer().score(self.needle, response)["rouge1"].fmeasure if response.strip() else 0.0
        return {"rouge1": 100 * rouge, "recall": 100 * len(found) / len(wanted)}

    def _haystack(self, data, codec, length):
        """At least `length` ids of all essays, one after another, repeated as often as it takes."""
        text = "".join(path.read_text(encoding="utf-8") for path in self.files(data))
        ids = codec.encode(text)
        if not ids:
            raise DataError(f"the essays in {data} are empty")
        return ids * -(-length // len(ids))
