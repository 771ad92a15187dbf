"""One prompt through the service, once for each cell; its prefill is made once."""

import time
from functools import cache

import chunkkv
import numpy as np

from llama import Llama
from needle.cells import TextChunks
from prompts import ANSWER_LENGTH
from served_model import identity, payload

LARGEST_WINDOW = 64


class Laboratory:
    """Measures cells through the server at `address`; not for several threads."""

    def __init__(self, address):
        self._client, self._llama = chunkkv.Client(address), Llama()
        self._model = identity(self._llama)

    def measure(self, recipe, cells):
        """Trials by the cells' names, and milliseconds by theirs: {"put", "get", "decode"}.

        A trial is {"exact": bool, "words": leading right ones, "kept": rows of a layer, "mass": retained mass of each
        scored layer, "jaccard": of adjacent groups' kept past, "asked": share of the asked sentence that each layer
        keeps}, for JSON.
        """
        prompt = recipe.prompt()
        prefill = self._llama.prefill(prompt.tokens, LARGEST_WINDOW)
        text_starts = cache(lambda chunks: starts_of_text(prompt.tokens, chunks))
        trials, times = {}, {}
        for cell in cells:
            spec = cell.specification(prompt, text_starts)
            trials[cell.name], times[cell.name] = self._trial(prompt, prefill, spec)
        return trials, times

    def _trial(self, prompt, prefill, spec):
        """The entry is deleted afterwards: a put of the same spec and other chunks would be answered by it."""
        of_prompt = {"model": self._model, "tokens": prompt.tokens, "spec": spec}
        layers = [payload(spec.policy, cache, spec.effective_window_length) for cache in prefill.layers]
        clock = [time.perf_counter()]
        self._client.put(layers=layers, **of_prompt)
        clock.append(time.perf_counter())
        entry = self._client.get(**of_prompt)
        clock.append(time.perf_counter())
        answer = self._llama.decode([(layer.k, layer.v) for layer in entry.layers], entry.next_position,
                                    prompt.tokens[-1], ANSWER_LENGTH)
        clock.append(time.perf_counter())
        self._client.delete(**of_prompt)

        trial = {**answered(answer, prompt), "kept": len(entry.layers[0].positions),
                 "mass": list(entry.retained_mass), "jaccard": list(entry.adjacent_jaccard),
                 "asked": [share_kept(layer.positions, prompt.asked) for layer in entry.layers]}
        return trial, dict(zip(("put", "get", "decode"), (np.diff(clock) * 1e3).round(3).tolist()))


def answered(answer, prompt):
    """How much of the answer's ids int32 [8] is right."""
    right = answer == prompt.answer
    return {"exact": bool(right.all()), "words": int(right.cumprod().sum())}


def share_kept(positions, needle):
    """Share of a needle's tokens among the kept positions."""
    first, end = np.searchsorted(positions, (needle.start, needle.end))
    return float(end - first) / (needle.end - needle.start)


@cache
def _tokenizer():
    from transformers import AutoTokenizer

    from folder import FOLDER
    return AutoTokenizer.from_pretrained(FOLDER)


def starts_of_text(tokens, chunks: TextChunks):
    """The chunk starts that `chunkkv.chunking` finds from the tokens alone, int32."""
    from chunkkv.chunking import chunk_starts

    bounds = {name: value for name, value in vars(chunks).items() if value is not None}
    return chunk_starts(tokens, _tokenizer(), by="sentences", **bounds)
