"""A trial puts what its method scores, decodes what it is served, and leaves nothing behind."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("chunkkv", reason="the chunkkv package is not installed")

import trial
from llama import Llama
from methods import METHODS, WINDOW_LENGTH
from prompts import make_prompt
from served_model import identity
from tokenizer import Tokenizer


class Lossless:
    """Stands in for a client: serves every row that was put."""

    def __init__(self):
        self.puts, self.deleted = [], []

    def put(self, **put):
        self.puts.append(put)
        return SimpleNamespace(received_bytes=3, stored_bytes=2)

    def get(self, *, tokens, spec, **_):
        layers = [SimpleNamespace(k=layer.k, v=layer.v, positions=np.arange(len(tokens)))
                  for layer in self.puts[-1]["layers"]]
        return SimpleNamespace(layers=layers, next_position=len(tokens), sizes=SimpleNamespace(served_bytes=1),
                               retained_mass=() if spec.policy in ("full", "streaming_llm") else (0.5, 1.0))

    def delete(self, *, spec, **_):
        self.deleted.append(spec)


@pytest.fixture(scope="module")
def trials():
    """The client, the prompt, and an outcome by method."""
    llama, prompt, client = Llama(), make_prompt(256, seed=1), Lossless()
    model = identity(llama)
    prefill = llama.prefill(prompt.tokens, WINDOW_LENGTH)
    return client, prompt, {method: trial.run(client, model, llama, Tokenizer(), prompt, prefill, method)
                            for method in METHODS}


def test_whole_caches_answer_exactly(trials):
    _, prompt, outcomes = trials

    assert all(outcome.exact for outcome in outcomes.values())
    assert all(len(outcome.answer) == len(prompt.answer) for outcome in outcomes.values())


def test_masses_are_averaged_where_there_are_some(trials):
    masses = {method.policy: outcome.retained_mass for method, outcome in trials[2].items()}

    assert masses == {"full": None, "streaming_llm": None, "chunk_kv": 0.75, "snap_kv": 0.75, "h2o": 0.75}


def test_every_entry_is_deleted_again(trials):
    client = trials[0]

    assert client.deleted == [put["spec"] for put in client.puts]


def test_scores_are_those_of_the_policy(trials):
    client, prompt, _ = trials
    for put in client.puts:
        sources = {"h2o": (len(prompt.tokens) - WINDOW_LENGTH,), "chunk_kv": (WINDOW_LENGTH, 4, 32),
                   "snap_kv": (WINDOW_LENGTH, 4, 32)}
        layer, policy = put["layers"][0], put["spec"].policy
        given = layer.token_scores if policy == "h2o" else layer.queries
        assert (None if given is None else given.shape) == sources.get(policy)


def test_sentences_are_given_as_chunks(trials):
    client, prompt, _ = trials
    given = [put["spec"].chunk_starts for put in client.puts if put["spec"].chunk_starts is not None]

    assert given == [tuple(prompt.chunk_starts.tolist())] * 2
