"""What a request says of its cache: kv_transfer_params["chunkkv"], of a prefill that is handed on and of the decode that
takes it.

    prefill  {"role": "producer"}                      whole: the blocks of the prompt
             {"role": "producer", "keep_ratio": 0.2, "chunks": "sentences"}
                                                       compacted
    answer   {"key": ..., "variant": ..., "rows": ..., "tokens": ..., "salt": ...}, or {"error": ...}
    decode   the answer with "role": "consumer"; its prompt is the same prompt, or of a compacted cache `rows` - 1
             placeholders and the prompt's last token, whose row, always the last that is kept, is computed for its
             logits; its cache_salt is the salt, lest placeholders of one prompt be taken for those of another

The entry holds the last token too: its query has to have a say in what is kept.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidArgument
from ..identity import PromptKey, variant_of
from ..spec import EXACT, CompactionSpec

CHUNKS = ("grid", "sentences", "lines", "paragraphs", "turns", "code")
_SPEC_FIELDS = ("policy", "keep_ratio", "max_tokens", "window_length", "chunk_length", "chunk_reduce", "sink_tokens",
                "pool", "reuse_group", "group_score", "min_retained_mass", "chunk_starts")
_SCORED = ("chunk_kv", "snap_kv", "h2o")


@dataclass(frozen=True)
class Producer:
    """spec: None for the whole cache. chunks: where the prompt is cut, one of CHUNKS."""

    spec: CompactionSpec | None = None
    chunks: str = "grid"

    @property
    def window(self) -> int:
        """Queries that the service scores with; 0 where it does not score."""
        scored = self.spec is not None and self.spec.policy in _SCORED
        return self.spec.effective_window_length if scored and self.spec is not None else 0

    def rows(self, token_count: int) -> int:
        """Rows that are kept of so many tokens: a count that follows from the spec alone."""
        if self.spec is None:
            return token_count
        return kept_rows(self.spec, token_count)


@dataclass(frozen=True)
class Consumer:
    """key, variant, rows, salt: of a compacted entry; key None: the whole cache of the request's own prompt."""

    key: bytes | None = None
    variant: bytes = EXACT
    rows: int = 0
    salt: str = ""

    def refusal(self, request: Any) -> str:
        """Why a request cannot have the compacted entry; empty: it can."""
        if request.num_prompt_tokens < self.rows:
            return f"a prompt of {request.num_prompt_tokens} tokens for {self.rows} rows"
        return "" if request.cache_salt == self.salt else "cache_salt is not the salt that the prefill answered"


def parse(params: Mapping[str, Any] | None, block_size: int) -> Producer | Consumer | None:
    """None where the request says nothing. Errors: InvalidArgument (TRANSFER)."""
    given = (params or {}).get("chunkkv")
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise InvalidArgument("TRANSFER", "chunkkv is not an object")
    role, rest = given.get("role"), {name: value for name, value in given.items() if name != "role"}
    if role == "producer":
        return _producer(rest, block_size)
    if role == "consumer":
        return _consumer(rest)
    raise InvalidArgument("TRANSFER", f"role is {role!r}, neither producer nor consumer")


def entry_key(block_hashes: Sequence[bytes], tokens: Sequence[int], token_count: int, block_size: int,
              more: Any) -> PromptKey:
    """Of the first token_count tokens: the hash of the full blocks, which covers salt, adapters and images, the tokens
    after these, and `more`, by its repr: what no block covers."""
    blocks = token_count // block_size
    digest = hashlib.sha256(b"chunkkv.vllm")
    digest.update(bytes(block_hashes[blocks - 1]) if blocks else b"")
    digest.update(np.asarray(tokens[blocks * block_size:token_count], "<u4").tobytes())
    digest.update(token_count.to_bytes(8, "little"))
    digest.update(repr(more).encode())
    return PromptKey(digest.digest())


def kept_rows(spec: CompactionSpec, token_count: int) -> int:
    """The design's budget: of a ratio rounded up to budget_multiple, of max_tokens down, at least window and sinks."""
    floor = spec.effective_window_length + (spec.sink_tokens or (4 if spec.policy == "streaming_llm" else 0))
    multiple = spec.budget_multiple or 1
    if spec.max_tokens is not None:
        budget = spec.max_tokens
    else:
        assert spec.keep_ratio is not None
        budget = max(math.floor(spec.keep_ratio * token_count + 0.5), floor)
    if token_count <= spec.effective_window_length or budget >= token_count:
        return token_count
    if spec.max_tokens is not None:
        return max(budget // multiple * multiple, floor)
    return min(-(-budget // multiple) * multiple, token_count)


def _producer(given: dict[str, Any], block_size: int) -> Producer:
    chunks = given.pop("chunks", "grid")
    if not given and chunks == "grid":
        return Producer()
    if chunks not in CHUNKS:
        raise InvalidArgument("TRANSFER", f"chunks is {chunks!r}, none of {', '.join(CHUNKS)}")
    unknown = given.keys() - set(_SPEC_FIELDS)
    if unknown:
        raise InvalidArgument("TRANSFER", f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(_SPEC_FIELDS)}")
    policy = given.pop("policy", "chunk_kv")
    if (given.get("keep_ratio") is None) == (given.get("max_tokens") is None):
        raise InvalidArgument("TRANSFER", "give keep_ratio or max_tokens")
    if policy not in (*_SCORED, "streaming_llm"):
        raise InvalidArgument("TRANSFER", f"policy {policy!r} is none of {', '.join(_SCORED)}, streaming_llm")
    try:
        spec = CompactionSpec(policy=policy, budget_multiple=block_size, **given)
        spec.to_wire()
        if not 0 < (1 if spec.keep_ratio is None else spec.keep_ratio) <= 1:
            raise ValueError(f"keep_ratio is {spec.keep_ratio}, not above 0 and at most 1")
        if spec.max_tokens is not None and spec.max_tokens < 1:
            raise ValueError(f"max_tokens is {spec.max_tokens}")
        starts = list(spec.chunk_starts or ())
        if starts and (starts[0] != (spec.sink_tokens or 0) or starts != sorted(set(starts))):
            raise ValueError("chunk_starts ascend from sink_tokens")
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument("TRANSFER", str(error)) from error
    return Producer(spec, chunks)


def _consumer(given: dict[str, Any]) -> Consumer:
    try:
        key, variant = bytes.fromhex(given.get("key", "")), bytes.fromhex(given.get("variant", ""))
        rows = int(given.get("rows", 0))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument("TRANSFER", f"key and variant are hexadecimal, rows is a number: {error}") from error
    if variant in (b"", EXACT):
        return Consumer()
    if len(key) != 32 or len(variant) != 32 or rows < 1:
        raise InvalidArgument("TRANSFER", "a compacted cache has a key and a variant of 32 bytes, and rows")
    salt = given.get("salt")
    if not isinstance(salt, str) or not salt:
        raise InvalidArgument("TRANSFER", "a compacted cache has a salt")
    return Consumer(key, variant, rows, salt)


def answer(key: bytes, producer: Producer, token_count: int) -> dict[str, Any]:
    """What the prefill tells the decode."""
    variant = EXACT if producer.spec is None else variant_of(producer.spec)
    return {"key": key.hex(), "variant": variant.hex(), "rows": producer.rows(token_count), "tokens": token_count,
            "salt": secrets.token_hex(16)}
