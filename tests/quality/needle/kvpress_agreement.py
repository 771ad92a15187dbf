"""Whether kvpress and the service keep the same positions where both define the same thing.

They do for ChunkKV where the past and the window are multiples of the chunk length, the budget is whole chunks and a
chunk's score is the mean; for SnapKV with one KV head, as each tensor parallel rank of the shipped model has; and for
StreamingLLM. kvpress chooses on the prefill of transformers, the service on that of NumPy.
"""

from dataclasses import dataclass

import chunkkv
import numpy as np
from chunkkv.identity import Shard
from kvpress import ChunkKVPress, SnapKVPress, StreamingLLMPress

from llama import Llama
from needle.kvpress_side import load_model, observe
from needle.prompt_sets import PromptSet
from prompts import make_prompt
from served_model import identity, payload

FIRST_SEED = 90_000
CHUNK_LENGTHS, KERNELS = (4, 8, 10, 16), (1, 5, 7)
SHORTEST, LONGEST = 200, 1024


@dataclass(frozen=True)
class Case:
    """A prompt of `chunks` chunks, the last `window_chunks` of them the window; `kept_chunks` are kept."""
    seed: int
    chunk_length: int
    kernel: int
    chunks: int
    window_chunks: int
    kept_chunks: int

    @property
    def window_length(self):
        return self.window_chunks * self.chunk_length

    @property
    def budget(self):
        return self.kept_chunks * self.chunk_length

    @property
    def length(self):
        return self.chunks * self.chunk_length


@dataclass(frozen=True)
class AgreedPolicy:
    """A policy that both have."""
    name: str


def case_set(count):
    """`count` seeded cases: all chunk lengths and kernels, budgets up to half the prompt."""
    drawn = []
    for index in range(count):
        rng = np.random.default_rng(FIRST_SEED + index)
        chunk_length = CHUNK_LENGTHS[index % len(CHUNK_LENGTHS)]
        chunks = int(rng.integers(-(-SHORTEST // chunk_length), LONGEST // chunk_length + 1))
        window_chunks = int(rng.integers(1, 3))
        kept_chunks = int(rng.integers(window_chunks + 1, chunks // 2 + 1))
        drawn.append(Case(FIRST_SEED + index, chunk_length, KERNELS[index % len(KERNELS)], chunks, window_chunks,
                          kept_chunks))
    return PromptSet("agreement", tuple(drawn))


class AgreementLaboratory:
    """Runs cases through kvpress, and through the service at `address`."""

    def __init__(self, address):
        self._client, self._theirs, self._llama = chunkkv.Client(address), load_model(), Llama()
        self._identity = identity(self._llama)

    def measure(self, case, policies):
        """{policy's name: whether every list of kept positions is the same}; and no times."""
        tokens = make_prompt(case.length, case.seed).tokens
        kvpress = self._kvpress(case, tokens)
        caches = self._llama.prefill(tokens, case.window_length).layers
        service = {"chunk_kv": self._whole(case, tokens, caches, "chunk_kv"),
                   "snap_kv": self._by_rank(case, tokens, caches),
                   "streaming_llm": self._whole(case, tokens, caches, "streaming_llm")}
        return {policy.name: np.array_equal(service[policy.name], kvpress[policy.name]) for policy in policies}, {}

    def _kvpress(self, case, tokens):
        """By policy, positions [layers, Hkv, budget]. Half a unit more than the budget, lest a quotient's truncation
        take one away."""
        of_chunks = 1 - (case.kept_chunks + 0.5) / case.chunks
        of_tokens = 1 - (case.budget + 0.5) / case.length
        presses = {
            "chunk_kv": ChunkKVPress(SnapKVPress(of_chunks, case.window_length, case.kernel), case.chunk_length),
            "snap_kv": SnapKVPress(of_tokens, case.window_length, case.kernel),
            "streaming_llm": StreamingLLMPress(of_tokens)}
        observed = observe(self._theirs, tokens, list(presses.values()))
        return {policy: np.stack(positions) for policy, positions in zip(presses, observed.positions)}

    def _whole(self, case, tokens, caches, policy):
        """Positions [layers, Hkv, budget] that the service keeps of the whole model, the same for every head."""
        spec = self._spec(case, policy)
        layers = [payload(policy, cache, case.window_length) for cache in caches]
        return self._kept(tokens, spec, layers, Shard())[:, None].repeat(self._llama.kv_heads, 1)

    def _by_rank(self, case, tokens, caches):
        """Positions [layers, Hkv, budget] where each KV head is a tensor parallel rank."""
        kv_heads, group = self._llama.kv_heads, self._llama.heads // self._llama.kv_heads
        ranks = []
        for head in range(kv_heads):
            layers = [chunkkv.Layer(k=cache.k[:, head:head + 1], v=cache.v[:, head:head + 1],
                                    queries=cache.queries[:, group * head:group * (head + 1)]) for cache in caches]
            shard = Shard(tp_rank=head, tp_size=kv_heads, first_kv_head=head, kv_head_count=1)
            ranks.append(self._kept(tokens, self._spec(case, "snap_kv"), layers, shard))
        return np.stack(ranks, 1)

    def _spec(self, case, policy):
        chunks = {"chunk_length": case.chunk_length, "chunk_reduce": "mean"} if policy == "chunk_kv" else {}
        pool = {} if policy == "streaming_llm" else {"pool": case.kernel}
        return chunkkv.CompactionSpec(policy=policy, max_tokens=case.budget, window_length=case.window_length,
                                      **chunks, **pool)

    def _kept(self, tokens, spec, layers, shard):
        """Positions [layers, budget]."""
        of_prompt = {"model": self._identity, "tokens": tokens, "spec": spec, "shard": shard}
        self._client.put(layers=layers, **of_prompt)
        entry = self._client.get(**of_prompt)
        self._client.delete(**of_prompt)
        return np.stack([layer.positions for layer in entry.layers])


AGREED = tuple(map(AgreedPolicy, ("chunk_kv", "snap_kv", "streaming_llm")))


def agreement_figures(ledger, cases):
    """How many cases of the PromptSet agree, by policy, and those that do not."""
    same = {policy.name: ledger.of(policy, cases.recipes) for policy in AGREED}
    return {"prompts": len(cases.recipes), "same": {policy: sum(each) for policy, each in same.items()},
            "different": [{"policy": policy, **vars(case)} for policy, each in same.items()
                          for case, is_same in zip(cases.recipes, each) if not is_same]}
