"""One prompt: prefilled once, then put, loaded and decoded by each variant, again and again."""

import time
from dataclasses import dataclass
from typing import Any

import chunkkv.hf
import torch
from chunkkv.hf.geometry import cache_argument, decoder_of
from transformers import DynamicCache

from decode_variants import Variant, in_turn
from room_layer import room_bytes, with_room

WARM_UP_TOKENS = 4


class Stopwatch:
    """Seconds since the last reading, with all that the device was given done."""

    def __init__(self, device: torch.device):
        self._synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        self.read()

    def read(self) -> float:
        self._synchronize()
        now = time.perf_counter()
        passed, self._last = now - getattr(self, "_last", now), now
        return passed


@dataclass(frozen=True)
class Prefill:
    """tokens int64 [1, L]; first_token [1, 1], the one after them."""

    tokens: torch.Tensor
    cache: Any
    window: chunkkv.hf.QueryWindow
    first_token: torch.Tensor
    seconds: float


@dataclass(frozen=True)
class Sample:
    """One run of a variant. Seconds; compaction_seconds is what the service spent, during the put, on scoring, choosing
    and gathering; load_seconds from the request to rows in a room of their own; one step a generated token. Without the
    service there is neither: a prefill may write into that room at once.
    """

    put_seconds: float
    compaction_seconds: float
    load_seconds: float
    step_seconds: list[float]
    row_count: int
    cache_bytes: int


def prefill(model: Any, token_count: int, window_length: int, seed: int = 0) -> Prefill:
    """Of random tokens."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, model.config.vocab_size, (1, token_count), generator=generator).to(model.device)
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        model(tokens[:, :64], logits_to_keep=1)
        watch = Stopwatch(model.device)
        with chunkkv.hf.capture_queries(model, window_length) as window:
            logits = model(tokens, logits_to_keep=1, **{cache_argument(decoder_of(model)): cache}).logits
        first_token = logits[:, -1].argmax(-1, keepdim=True)
        return Prefill(tokens, cache, window, first_token, watch.read())


def decode(model: Any, cache: Any, first_token: torch.Tensor, first_position: int, new_tokens: int) -> list[float]:
    """Seconds of each of `new_tokens` greedy steps; the first takes `first_token`, at `first_position`."""
    token, seconds = first_token, []
    past = {cache_argument(decoder_of(model)): cache}
    with torch.inference_mode():
        watch = Stopwatch(model.device)
        for step in range(new_tokens):
            position = torch.full((1, 1), first_position + step, device=model.device)
            logits = model(token, position_ids=position, **past).logits
            token = logits[:, -1].argmax(-1, keepdim=True)
            seconds.append(watch.read())
    return seconds


def run_variant(client: chunkkv.Client, model: Any, identity: chunkkv.ModelIdentity, prompt: Prefill, variant: Variant,
                new_tokens: int) -> Sample:
    """Puts, loads and decodes; the entry is deleted afterwards, so that the next put is not answered by it."""
    token_count = prompt.tokens.shape[1]
    put_seconds = compaction_seconds = load_seconds = 0.0
    if variant.spec is None:
        cache, row_count, position = with_room(prompt.cache, new_tokens), token_count, token_count
    else:
        watch = Stopwatch(model.device)
        window = prompt.window if variant.is_scored else None
        result = chunkkv.hf.put(client, model, prompt.tokens, prompt.cache, window, variant.spec, identity=identity,
                                rope=False)
        put_seconds, compaction_seconds = watch.read(), result.compaction_seconds
        served = chunkkv.hf.load(client, model, prompt.tokens, spec=variant.spec, identity=identity)
        cache = with_room(served.cache, new_tokens)
        load_seconds, row_count, position = watch.read(), served.row_count, served.next_position
        client.delete(model=identity, tokens=prompt.tokens[0].cpu().numpy(), spec=variant.spec)
    step_seconds = decode(model, cache, prompt.first_token, position, new_tokens)
    return Sample(put_seconds, compaction_seconds, load_seconds, step_seconds, row_count, room_bytes(cache))


def run_trial(client: chunkkv.Client, model: Any, prompt: Prefill, variants: list[Variant], new_tokens: int,
              repeats: int) -> dict[str, list[Sample]]:
    """Samples [repeats] of each variant by its name, in alternating order, after a short run of each."""
    identity = chunkkv.hf.identity_of(model)
    for variant in variants:
        run_variant(client, model, identity, prompt, variant, min(WARM_UP_TOKENS, new_tokens))
    samples: dict[str, list[Sample]] = {variant.name: [] for variant in variants}
    for repeat in range(repeats):
        for variant in in_turn(variants, repeat):
            samples[variant.name].append(run_variant(client, model, identity, prompt, variant, new_tokens))
    return samples
