"""A model's identity, from its config and its weights."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

from ..errors import InvalidArgument
from ..identity import ModelIdentity
from .geometry import geometry_of, text_config

_DTYPES = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}
# What a config says that leaves K and V as they are.
_COSMETIC = {"_name_or_path", "architectures", "transformers_version", "dtype", "torch_dtype", "use_cache",
             "bos_token_id", "eos_token_id", "pad_token_id", "output_hidden_states", "output_attentions", "return_dict",
             "id2label", "label2id", "tie_word_embeddings", "initializer_range", "task_specific_params",
             "output_router_logits", "ignore_keys_at_rope_validation", "num_nextn_predict_layers", "pretraining_tp",
             "qk_head_dim"}
_COSMETIC_PARTS = ("_loss_coef", "dropout", "pdrop")
# What older versions of transformers have built in and newer ones write out.
_BUILT_IN = {"swiglu_alpha": 1.702, "swiglu_limit": 7.0}
_SAMPLED_ELEMENTS = 256


def identity_of(model: Any, *, name: str | None = None, revision: str | None = None) -> ModelIdentity:
    """The same in every process that has the same weights and config, wherever they were loaded from.

    name: the model type by default. revision: of the weights, adapters included; by default weights_digest(model).
    Errors: Unimplemented (UNSUPPORTED_MODEL), InvalidArgument (BAD_DTYPE, WEIGHTS_ABSENT).
    """
    config, geometry = text_config(model), geometry_of(model)
    if model.dtype not in _DTYPES:
        raise InvalidArgument("BAD_DTYPE", f"the model computes in {model.dtype}; known are {[*_DTYPES]}")
    settings = {key: value for key, value in config.to_diff_dict().items() if not _is_cosmetic(key, value, config)}
    return ModelIdentity(
        name=name or config.model_type, revision=revision or weights_digest(model), kv_dtype=_DTYPES[model.dtype],
        layer_count=len(geometry.windows), kv_head_count=geometry.kv_head_count, key_head_size=geometry.key_head_size,
        value_head_size=geometry.value_head_size,
        rope=json.dumps(getattr(config, "rope_parameters", None), sort_keys=True, default=str),
        extra={"config": hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()})


def _is_cosmetic(key: str, value: Any, config: Any) -> bool:
    if key in _COSMETIC or any(part in key for part in _COSMETIC_PARTS):
        return True
    rope = getattr(config, "rope_parameters", None) or {}
    return key in _BUILT_IN and value == _BUILT_IN[key] or key == "partial_rotary_factor" and value == rope.get(key)


def weights_digest(model: Any) -> str:
    """Names, shapes and dtypes of all tensors of the model's state, and 256 evenly spaced elements of each, the first
    and the last among them. Weights that differ in fewer places than that finds need a revision of their own.

    Errors: InvalidArgument (WEIGHTS_ABSENT) where they are not in this process.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, torch.Tensor):
            continue
        if tensor.is_meta:
            raise InvalidArgument("WEIGHTS_ABSENT", f"{name} is not in this process: state the model's revision")
        flat = tensor.detach().reshape(-1)
        count = flat.numel()
        sampled = torch.linspace(0, count - 1, min(count, _SAMPLED_ELEMENTS), dtype=torch.float64).long()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(flat[sampled.to(flat.device)].cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
