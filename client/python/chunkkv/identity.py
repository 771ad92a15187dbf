"""What an entry is called: model identity, shard, key, variant. Canonical forms: proto/chunkkv/v1/README.md."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .errors import InvalidArgument
from .spec import EXACT, CompactionSpec
from .v1 import identity_pb2

BLOCK_TOKENS = 64


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True)
class Adapter:
    """Weights applied over the model's own."""

    name: str
    revision: str = ""


@dataclass(frozen=True)
class ModelIdentity:
    """Everything about a model that makes KV bytes meaningless elsewhere; counts and sizes are of the full, unsharded
    model.

    revision: commit, checksum or date of the weights. kv_dtype: as computed, "bf16". quantization: of the KV cache.
    rope: RoPE and its scaling, as text of the caller's choice. extra: anything else that matters.
    """

    name: str
    revision: str
    kv_dtype: str
    layer_count: int
    kv_head_count: int
    key_head_size: int
    value_head_size: int
    rope: str = ""
    quantization: str = ""
    adapters: Sequence[Adapter] = ()
    extra: Mapping[str, str] = field(default_factory=dict)

    def canonical_text(self) -> str:
        """The text whose SHA-256 is the fingerprint."""
        adapters = [{"name": adapter.name, "revision": adapter.revision} for adapter in self.adapters]
        return _canonical({**vars(self), "adapters": adapters, "extra": dict(self.extra)})

    def fingerprint(self) -> bytes:
        return hashlib.sha256(self.canonical_text().encode()).digest()

    def to_wire(self) -> identity_pb2.ModelIdentity:
        """Errors: InvalidArgument (MODEL_IDENTITY_INCOMPLETE, BAD_NUMBER)."""
        try:
            return identity_pb2.ModelIdentity(
                **{**vars(self), "extra": dict(self.extra),
                   "adapters": [identity_pb2.ModelIdentity.Adapter(name=adapter.name, revision=adapter.revision)
                                for adapter in self.adapters]})
        except (TypeError, ValueError) as error:
            raise InvalidArgument("BAD_MODEL_IDENTITY", f"model: {error}") from error

    @classmethod
    def from_wire(cls, message: Any) -> ModelIdentity:
        names = cls.__dataclass_fields__.keys() - {"adapters", "extra"}
        values = {name: getattr(message, name) for name in names}
        return cls(**values, adapters=tuple(Adapter(item.name, item.revision) for item in message.adapters),
                   extra=dict(message.extra))


@dataclass(frozen=True)
class Shard:
    """The part of the model that an entry holds; the default is the whole model. Counts of 0 mean all."""

    tp_rank: int = 0
    tp_size: int = 1
    pp_rank: int = 0
    pp_size: int = 1
    first_layer: int = 0
    layer_count: int = 0
    first_kv_head: int = 0
    kv_head_count: int = 0

    def resolved(self, model: ModelIdentity) -> Shard:
        """With counts of 0 replaced by the model's."""
        return replace(self, tp_size=self.tp_size or 1, pp_size=self.pp_size or 1,
                       layer_count=self.layer_count or model.layer_count,
                       kv_head_count=self.kv_head_count or model.kv_head_count)

    def to_wire(self) -> identity_pb2.Shard:
        return identity_pb2.Shard(**vars(self))

    @classmethod
    def from_wire(cls, message: Any) -> Shard:
        return cls(**{name: getattr(message, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class PromptKey:
    """A prompt's name: the digests of its blocks, whose last one is the key; or the key alone: then no prefix of it can
    be found."""

    key: bytes
    block_digests: Sequence[bytes] = ()
    block_size: int = BLOCK_TOKENS
    token_count: int = 0  # tokens that the blocks cover

    @classmethod
    def of_tokens(cls, tokens: Any, block_extra: Sequence[bytes] = ()) -> PromptKey:
        """Derived: digest[i] = SHA-256(digest[i-1] || tokens of block i as little-endian uint32 || extra[i]).

        block_extra: empty, or bytes for each block of 64 tokens (an image's hash, a cache salt).
        Errors: InvalidArgument (BAD_TOKENS, BAD_BLOCK_EXTRA).
        """
        if isinstance(tokens, np.ndarray) or hasattr(tokens, "__array__"):
            ids = np.asarray(tokens).reshape(-1)
        else:
            ids = np.array(list(tokens), dtype=object) if not isinstance(tokens, range) else np.array(tokens)
        if not ids.size:
            raise InvalidArgument("BAD_TOKENS", "a prompt has at least one token")
        if ids.dtype == object:
            if not all(isinstance(token, (int, np.integer)) for token in ids):
                raise InvalidArgument("BAD_TOKENS", "token ids are integers")
        elif not np.issubdtype(ids.dtype, np.integer):
            raise InvalidArgument("BAD_TOKENS", f"token ids are integers, not {ids.dtype}")
        if ids.min() < 0 or ids.max() > 0xFFFFFFFF:
            raise InvalidArgument("BAD_TOKENS", "token ids are in [0, 2**32)")
        words = ids.astype("<u4")
        blocks = range(0, len(words), BLOCK_TOKENS)
        if block_extra and len(block_extra) != len(blocks):
            raise InvalidArgument("BAD_BLOCK_EXTRA", f"{len(block_extra)} extras for {len(blocks)} blocks")
        digests: list[bytes] = []
        previous = b""
        for block, start in enumerate(blocks):
            extra = bytes(block_extra[block]) if block_extra else b""
            previous = hashlib.sha256(previous + words[start:start + BLOCK_TOKENS].tobytes() + extra).digest()
            digests.append(previous)
        return cls(previous, tuple(digests), BLOCK_TOKENS, len(words))

    @classmethod
    def of_digests(cls, block_digests: Sequence[bytes], block_size: int, token_count: int) -> PromptKey:
        """Of an engine's own block digests, 32 bytes each."""
        if not block_digests:
            raise InvalidArgument("BAD_BLOCK_DIGESTS", "at least one block digest")
        return cls(bytes(block_digests[-1]), tuple(map(bytes, block_digests)), block_size, token_count)

    def to_wire(self) -> identity_pb2.PromptKey:
        if not self.block_digests:
            return identity_pb2.PromptKey(key=self.key)
        return identity_pb2.PromptKey(key=self.key, block_digests=self.block_digests, block_size=self.block_size,
                                      token_count=self.token_count)


def prompt_of(tokens: Any, key: bytes | PromptKey | None, block_extra: Sequence[bytes] = ()) -> PromptKey:
    """The prompt named by tokens or by key. Errors: InvalidArgument (PROMPT) unless exactly one is given."""
    if (tokens is None) == (key is None):
        raise InvalidArgument("PROMPT", "give tokens or key")
    if tokens is not None:
        return PromptKey.of_tokens(tokens, block_extra)
    return key if isinstance(key, PromptKey) else PromptKey(bytes(key or b""))


def variant_of(spec: CompactionSpec) -> bytes:
    """SHA-256 of the canonical form of the requested spec; EXACT for full."""
    return EXACT if spec.policy == "full" else hashlib.sha256(variant_text(spec).encode()).digest()


def variant_text(spec: CompactionSpec) -> str:
    """The canonical form of a requested spec: defaults filled in, floating-point numbers as their bits."""
    defaults = {"budget_multiple": 1, "chunk_length": 10,
                "chunk_reduce": "max" if spec.chunk_starts else "sum", "group_score": "leader",
                "max_raised_tokens": None, "max_tokens": None, "on_low_mass": "fail",
                "pool": 5 if spec.policy == "snap_kv" else 1, "reuse_group": 1,
                "sink_tokens": 4 if spec.policy == "streaming_llm" else 0, "window_length": 32}
    given = {name: getattr(spec, name) for name in defaults if getattr(spec, name) is not None}
    return _canonical({
        **defaults, **{name: value if isinstance(value, str) else int(value) for name, value in given.items()},
        "chunks": "given" if spec.chunk_starts else "grid",
        "groups": [[group.first_layer, group.layer_count, group.leader] for group in spec.groups or ()],
        "keep_ratio": _bits(spec.keep_ratio), "label": spec.label if spec.policy == "external" else "",
        "min_retained_mass": _bits(spec.min_retained_mass), "policy": spec.policy,
        "recent_ratio": _bits(0.5 if spec.recent_ratio is None else spec.recent_ratio),
        **({"profile": spec.profile} if spec.profile else {})})


def _bits(value: float | None) -> str | None:
    return None if value is None else struct.pack(">d", float(value) + 0.0).hex()
