"""The model under test: prefill here, the cache to the server, answers from the cache that the server hands back.

All that knows transformers and the service is here.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import chunkkv
import torch
import transformers
from chunkkv import chunking, hf

from .attention_mass import accumulated_attention
from .errors import ModelError, PromptTooLong
from .example import Example
from .methods import GRID, spec_arguments

RECENT_TOKENS = 8


@dataclass(frozen=True)
class Prefill:
    """ids: the prompt's [L]; cache: of all L tokens; window: queries of the last tokens; all_queries: of all,
    None unless h2o is asked for; next_token: the one that the whole cache leads to."""
    example: Example
    ids: list[int]
    cache: Any
    window: Any
    all_queries: Any
    next_token: int


@dataclass(frozen=True)
class Answer:
    """kept_tokens: rows of a layer, at the most. retained_mass: mean of the scored layers, None without."""
    response: str
    prompt_tokens: int
    kept_tokens: int
    stored_bytes: int
    retained_mass: float | None


class TokenizerCodec:
    """Codec of a transformers tokenizer."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer

    def encode(self, text, special_tokens=False):
        return self._tokenizer(text, add_special_tokens=special_tokens, verbose=False)["input_ids"]

    def decode(self, ids):
        return self._tokenizer.decode(ids, skip_special_tokens=True)


class _EndsWithText(transformers.StoppingCriteria):
    """Stops once the last tokens after the first `begin` contain a text."""

    def __init__(self, codec, begin, text):
        self._codec, self._begin, self._text = codec, begin, text

    def __call__(self, input_ids, scores, **options):
        recent = self._codec.decode(input_ids[0, self._begin:][-RECENT_TOKENS:].tolist())
        return torch.tensor([self._text in recent], device=input_ids.device)


class ServedModel:
    """A context manager that holds the connection to the server."""

    def __init__(self, folder, revision, address, budget, methods, *, chat="auto", dtype="auto", device="cpu"):
        """Loads the model of a folder. revision: digest of its files. chat: `on`, `off`, or `auto`: examples decide.
        dtype: of torch, or `auto` for the model's own. Errors: ModelError (`on` without a chat template)."""
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if chat == "on" and not self._tokenizer.chat_template:
            raise ModelError(f"the tokenizer in {folder} has no chat template")
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, dtype=dtype if dtype == "auto" else getattr(torch, dtype)).to(device).eval()
        self._identity = hf.identity_of(self._model, revision=revision)
        self._client = chunkkv.Client(address)
        self._budget, self._chat = budget, chat
        self._needs_all_queries = any(method.policy == "h2o" for method in methods)
        self.codec = TokenizerCodec(self._tokenizer)
        self.context_window = self._model.config.get_text_config().max_position_embeddings

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._client.close()

    @torch.inference_mode()
    def prefill(self, example):
        """Errors: PromptTooLong where the prompt does not fit the model's window."""
        ids = self._ids(example)
        if len(ids) + example.max_new_tokens > self.context_window:
            raise PromptTooLong(f"{len(ids)} tokens and up to {example.max_new_tokens} new ones do not fit the model's "
                                f"window of {self.context_window}")
        tokens = torch.tensor([ids], device=self._model.device)
        capture_all = hf.capture_queries(self._model, len(ids)) if self._needs_all_queries else nullcontext()
        with hf.capture_queries(self._model, self._budget.window_length) as window, capture_all as all_queries:
            output = self._model(input_ids=tokens, use_cache=True, logits_to_keep=1)
        logits = output.logits[0, -1]
        if example.min_new_tokens:
            logits[torch.tensor(self._stops(example), dtype=torch.long, device=logits.device)] = -torch.inf
        return Prefill(example, ids, output.past_key_values, window, all_queries, int(logits.argmax()))

    @torch.inference_mode()
    def answer(self, prompt, method):
        """Answer of `method`: the prefill's next token, and what follows from the served cache. The entry is deleted
        afterwards. Errors: chunkkv.Error; ModelError for h2o where a layer's cache is no list of all keys."""
        chunk_starts = None
        if method.chunks != GRID:
            chunk_starts = chunking.chunk_starts(prompt.ids, self._tokenizer, method.chunks)
        spec = chunkkv.CompactionSpec(**spec_arguments(method, self._budget, chunk_starts))
        if method.policy == "h2o":
            self._put_accumulated(prompt, spec)
        else:
            hf.put(self._client, self._model, prompt.ids, prompt.cache, prompt.window, spec, identity=self._identity,
                   rope=False)
        served = hf.load(self._client, self._model, prompt.ids, spec=spec, identity=self._identity)
        self._client.delete(model=self._identity, tokens=prompt.ids, spec=spec)
        header = served.rows[0].header
        mass = header.retained_mass
        return Answer(response=self.codec.decode(self._generate(prompt, served)), prompt_tokens=len(prompt.ids),
                      kept_tokens=served.row_count, stored_bytes=header.size_bytes,
                      retained_mass=sum(mass) / len(mass) if mass else None)

    def _put_accumulated(self, prompt, spec):
        past = max(0, len(prompt.ids) - self._budget.window_length)
        layers = []
        for index, cached in enumerate(prompt.cache.layers):
            seen, keys = prompt.all_queries.layers.get(index), cached.keys[0]
            if seen is None or seen.queries.shape[-1] != keys.shape[-1]:
                raise ModelError("h2o needs the keys of all tokens, and "
                                 f"layer {index} caches a sliding window or latents")
            scores = accumulated_attention(seen.queries[0], keys, seen.scale, seen.softcap, seen.sink_logits)
            layers.append(chunkkv.Layer(k=keys, v=cached.values[0], head_major=True, token_scores=scores[:past]))
        self._client.put(model=self._identity, tokens=prompt.ids, layers=layers, spec=spec)

    def _generate(self, prompt, served):
        """ids of the response, without what stopped it."""
        example, stops = prompt.example, self._stops(prompt.example)
        ids = [prompt.next_token]
        if prompt.next_token not in stops and example.max_new_tokens > 1:
            greedy = transformers.GenerationConfig(do_sample=False, max_new_tokens=example.max_new_tokens - 1,
                                                   eos_token_id=stops or None, pad_token_id=stops[0] if stops else 0)
            criteria = [_EndsWithText(self.codec, len(prompt.ids), example.stop_text)] if example.stop_text else []
            ids += hf.generate(self._model, served, [prompt.next_token], generation_config=greedy,
                               stopping_criteria=transformers.StoppingCriteriaList(criteria))[0].tolist()
        return ids[:-1] if ids[-1] in stops else ids

    def _stops(self, example):
        """The ids that end a response: those of the model, and the newline where the example says so."""
        ends = self._model.generation_config.eos_token_id
        stops = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        newline = self.codec.encode("\n")[-1:] if example.stop_at_newline else []
        return list(dict.fromkeys(stops + newline))

    def _ids(self, example):
        in_template = self._chat == "on" or (self._chat == "auto" and example.as_chat and self._tokenizer.chat_template)
        if not in_template:
            return self.codec.encode(example.prompt, special_tokens=True)
        text = self._tokenizer.apply_chat_template([{"role": "user", "content": example.prompt}], tokenize=False,
                                                   add_generation_prompt=True)
        return self.codec.encode(text)
