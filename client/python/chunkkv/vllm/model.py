"""What the engine's model is called, and the shape of the rows that it keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from vllm.model_executor.models.utils import extract_layer_index
from vllm.v1.kv_cache_interface import FullAttentionSpec

from .._arrays import numpy_dtype
from ..errors import InvalidArgument, Unimplemented
from ..identity import ModelIdentity, Shard
from ..layers import AttentionRun, Rope
from .options import Options

_DTYPES = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}
_SAMPLED_BLOCKS, _SAMPLE_BYTES = 256, 4096


@dataclass(frozen=True)
class EngineModel:
    """identity: of the whole model. shards: of all ranks, in order; rank: this worker's among them. layer_names: vLLM's,
    from the first layer of the shard on. block_size: tokens a block."""

    identity: ModelIdentity
    shards: tuple[Shard, ...]
    rank: int
    layer_names: tuple[str, ...]
    block_size: int
    dtype: torch.dtype

    @property
    def shard(self) -> Shard:
        return self.shards[self.rank]

    def layout(self, layers: Sequence[Any] = (), rope: Rope | None = None) -> list[AttentionRun]:
        """Of the shard's rows. layers: the engine's, where what they attend with is to be known to the service."""
        identity, shard = self.identity, self.shard
        run = AttentionRun(
            layer_count=shard.layer_count, kv_head_count=shard.kv_head_count, key_head_size=identity.key_head_size,
            value_head_size=identity.value_head_size, dtype=numpy_dtype(self.dtype), rope=rope)
        runs: list[AttentionRun] = []
        for layer in layers:
            implementation = layer.impl
            sinks = getattr(implementation, "sinks", None)
            own = replace(run, layer_count=1, query_head_count=layer.num_heads, scale=implementation.scale,
                          softcap=getattr(implementation, "logits_soft_cap", None) or None,
                          sink_logits=None if sinks is None else tuple(sinks.float().tolist()))
            if runs and replace(runs[-1], layer_count=1) == own:
                own = replace(own, layer_count=runs.pop().layer_count + 1)
            runs.append(own)
        return runs or [run]


def engine_model(config: Any, kv_cache: Any, options: Options) -> EngineModel:
    """Of a VllmConfig and its KVCacheConfig, the same in the scheduler and in every worker.

    Errors: Unimplemented (UNSUPPORTED_MODEL) for caches that are not rows of full attention, by name; InvalidArgument
    (MODEL_REVISION) where nothing tells the weights' revision.
    """
    spec = _full_attention(kv_cache)
    model, parallel = config.model_config, config.parallel_config
    if parallel.pipeline_parallel_size > 1 or getattr(parallel, "decode_context_parallel_size", 1) > 1:
        raise Unimplemented("UNSUPPORTED_MODEL", "pipeline and context parallel ranks are not offloaded")
    if config.speculative_config is not None or getattr(parallel, "use_ubatching", False):
        raise Unimplemented("UNSUPPORTED_MODEL", "speculative decoding and dual batch overlap are not offloaded")
    dtype = model.dtype
    if dtype not in _DTYPES:
        raise Unimplemented("UNSUPPORTED_MODEL", f"the model computes in {dtype}; known are {[*_DTYPES]}")
    layer_names = sorted(kv_cache.kv_cache_groups[0].layer_names, key=extract_layer_index)
    head_count, rank_count = model.get_total_num_kv_heads(), parallel.tensor_parallel_size
    cache_dtype = config.cache_config.cache_dtype
    identity = ModelIdentity(
        name=Path(model.model).name,
        revision=options.model_revision or _revision(model, config.load_config),
        kv_dtype=_DTYPES[dtype], layer_count=len(layer_names), kv_head_count=head_count,
        key_head_size=spec.head_size, value_head_size=spec.head_size_v or spec.head_size,
        rope=json.dumps(getattr(model.hf_text_config, "rope_parameters", None), sort_keys=True, default=str),
        quantization="" if cache_dtype in ("auto", str(dtype).removeprefix("torch.")) else cache_dtype,
        extra={"engine": "vllm", "blocks": f"{config.cache_config.prefix_caching_hash_algo}:{spec.block_size}",
               "weights": str(model.quantization or ""), "overrides": _text_of(model.hf_overrides),
               "positions": _positions(model)})
    held = spec.num_kv_heads
    if held * rank_count % head_count:
        raise Unimplemented("UNSUPPORTED_MODEL", f"{head_count} KV heads over {rank_count} ranks, {held} each")
    copies = held * rank_count // head_count
    shards = tuple(Shard(tp_rank=rank, tp_size=rank_count, layer_count=len(layer_names),
                         first_kv_head=rank // copies * held, kv_head_count=held) for rank in range(rank_count))
    return EngineModel(identity, shards, _rank(parallel), tuple(layer_names), spec.block_size, dtype)


def _full_attention(kv_cache: Any) -> FullAttentionSpec:
    groups = kv_cache.kv_cache_groups
    kinds = sorted({type(group.kv_cache_spec).__name__ for group in groups})
    if len(groups) != 1 or type(groups[0].kv_cache_spec) is not FullAttentionSpec:
        raise Unimplemented("UNSUPPORTED_MODEL", f"the model keeps {', '.join(kinds)} in {len(groups)} groups; "
                                                 "only FullAttentionSpec in one is offloaded")
    spec: FullAttentionSpec = groups[0].kv_cache_spec
    if spec.sliding_window is not None or spec.attention_chunk_size is not None:
        raise Unimplemented("UNSUPPORTED_MODEL", "layers with sliding windows or chunked attention are not offloaded")
    return spec


def _rank(parallel: Any) -> int:
    return int(parallel.rank) % int(parallel.tensor_parallel_size)


def _revision(model: Any, load: Any) -> str:
    commit = getattr(model.hf_config, "_commit_hash", None)
    if commit:
        return str(commit)
    folder = Path(model.model)
    if load.load_format == "dummy" or not folder.is_dir():
        raise InvalidArgument("MODEL_REVISION", f"nothing tells the revision of {model.model}'s weights: set "
                                                "model_revision in kv_connector_extra_config")
    return files_digest(folder)


def _positions(model: Any) -> str:
    """What keys depend on beside the config: engines that allow other lengths rotate LongRoPE's by other factors."""
    parameters = getattr(model.hf_text_config, "rope_parameters", None) or {}
    return str(model.max_model_len) if "longrope" in json.dumps(parameters, default=str) else ""


def _text_of(overrides: Any) -> str:
    return json.dumps(overrides, sort_keys=True, default=lambda value: getattr(value, "__qualname__", str(value)))


class Adapters:
    """What has to go into keys beside the engine's hashes, which know an adapter by its name and path."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[Any, ...], bytes]] = {}

    def digest(self, adapter: Any) -> bytes | None:
        """Of a LoRARequest's files; empty without an adapter. None: it has no files here, or they have changed since it
        was first asked for, and the engine may have loaded the ones or the others."""
        if adapter is None:
            return b""
        folder = Path(adapter.lora_path)
        try:
            states = [(path.name, path.stat()) for path in sorted(folder.iterdir())]
            stamp = tuple((name, state.st_size, state.st_mtime_ns) for name, state in states)
            if adapter.lora_path not in self._known:
                digest = bytes.fromhex(files_digest(folder, "adapter_config.json"))
                self._known[adapter.lora_path] = stamp, digest
        except (OSError, InvalidArgument):
            return None
        known, digest = self._known[adapter.lora_path]
        return digest if known == stamp else None


def files_digest(folder: Path, config: str = "config.json") -> str:
    """Of the config, and of the names, sizes and 256 evenly spaced blocks of 4 KiB of each file of weights. Weights that
    differ in fewer places than that finds need a revision of their own."""
    digest = hashlib.sha256((folder / config).read_bytes())
    files = sorted(path for pattern in ("*.safetensors", "*.bin", "*.pt", "*.gguf") for path in folder.glob(pattern))
    if not files:
        raise InvalidArgument("MODEL_REVISION", f"{folder} has no file of weights")
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for index in range(_SAMPLED_BLOCKS):
                file.seek(index * max(0, size - _SAMPLE_BYTES) // max(1, _SAMPLED_BLOCKS - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
