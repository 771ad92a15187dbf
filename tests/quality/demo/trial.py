"""One prompt through the service: put, get, decode from what was served."""

import time

import chunkkv
import numpy as np

from methods import WINDOW_LENGTH
from outcome import Outcome
from prompts import ANSWER_LENGTH
from served_model import payload


def specification(method, prompt):
    if method.policy == "full":
        return chunkkv.CompactionSpec(policy="full")
    return chunkkv.CompactionSpec(policy=method.policy, keep_ratio=method.keep_ratio, window_length=WINDOW_LENGTH,
                                  chunk_starts=prompt.chunk_starts if method.sentences else None)


def timed(action):
    """What `action` returns, and the milliseconds that it took."""
    started = time.perf_counter()
    result = action()
    return result, (time.perf_counter() - started) * 1e3


def run(client, model, llama, tokenizer, prompt, prefill, method):
    """Outcome of `method`. The entry is deleted afterwards, so that the next method's put is not answered by it."""
    spec = specification(method, prompt)
    layers = [payload(method.policy, cache, WINDOW_LENGTH) for cache in prefill.layers]
    stored, put_ms = timed(lambda: client.put(model=model, tokens=prompt.tokens, layers=layers, spec=spec))
    entry, get_ms = timed(lambda: client.get(model=model, tokens=prompt.tokens, spec=spec))
    caches = [(layer.k, layer.v) for layer in entry.layers]
    answer, decode_ms = timed(
        lambda: llama.decode(caches, entry.next_position, prompt.tokens[-1], ANSWER_LENGTH))
    client.delete(model=model, tokens=prompt.tokens, spec=spec)

    masses = entry.retained_mass
    return Outcome(method=method, answer=tokenizer.decode(answer).split(), exact=bool((answer == prompt.answer).all()),
                   retained_mass=float(np.mean(masses)) if len(masses) else None,
                   positions=[layer.positions for layer in entry.layers], sent_bytes=stored.received_bytes,
                   stored_bytes=stored.stored_bytes, served_bytes=entry.sizes.served_bytes,
                   put_ms=put_ms, get_ms=get_ms, decode_ms=decode_ms)
