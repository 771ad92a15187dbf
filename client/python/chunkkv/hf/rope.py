"""How a model's keys rotate with their position, measured rather than guessed from its name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers.cache_utils import DynamicCache

from ..errors import InvalidArgument
from ..layers import Rope
from .capture import no_capture
from .geometry import CacheGeometry, cache_argument, decoder_of, geometry_of, text_config

Ropes = tuple["Rope | None", ...]

_measured: WeakKeyDictionary[Any, Ropes] = WeakKeyDictionary()
_POSITION = 1000  # high enough to tell low frequencies, low enough for float32 angles
_TOLERANCE = {torch.float32: 2e-3, torch.float16: 2e-2, torch.bfloat16: 5e-2}  # of the keys' norm


def measured_ropes(model: Any) -> Ropes:
    """The rotation of each layer's keys, None where it is not a plain RoPE, or one whose frequencies depend on the
    length (dynamic NTK, LongRoPE): moved keys would meet queries of other frequencies.

    A single token attends to nothing but itself, so that its keys at another position are the same but for their
    rotation: two forward calls of one token each show it, and the model's own frequencies must account for it. Asked
    once a model.

    Errors: InvalidArgument (BAD_DTYPE), Unimplemented (UNSUPPORTED_MODEL).
    """
    if model not in _measured:
        _measured[model] = _measure(model)
    return _measured[model]


def _depends_on_length(model: Any) -> bool:
    parameters = getattr(text_config(model), "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, dict)]
    return any(each.get("rope_type") in ("dynamic", "longrope") for each in [parameters, *nested])


def _measure(model: Any) -> Ropes:
    if model.dtype not in _TOLERANCE:
        raise InvalidArgument("BAD_DTYPE", f"the model computes in {model.dtype}; the rotation of its keys is measured "
                                           f"in {[*_TOLERANCE]}: state rope=False")
    geometry, decoder = geometry_of(model), decoder_of(model)
    if _depends_on_length(model) or "position_ids" not in inspect.signature(type(decoder).forward).parameters:
        return (None,) * len(geometry.windows)
    position = min(_POSITION, getattr(text_config(model), "max_position_embeddings", None) or _POSITION) - 1
    table = model.get_input_embeddings().weight
    draw = torch.randn(1, 1, text_config(model).hidden_size, generator=torch.Generator().manual_seed(0))
    caches = [DynamicCache(config=text_config(model)) for _ in range(2)]
    with no_capture(), torch.inference_mode():
        for cache, at in zip(caches, (0, position)):
            decoder(inputs_embeds=draw.to(table), position_ids=torch.tensor([[at]], device=table.device),
                    use_cache=True, **{cache_argument(decoder): cache})
    candidates = [buffer.float().cpu().double() for name, buffer in decoder.named_buffers()
                  if name.endswith("inv_freq") and "original" not in name]
    return tuple(_rope_between(_keys(geometry, at_zero), _keys(geometry, moved), candidates, position, model.dtype)
                 for at_zero, moved in zip(caches[0].layers, caches[1].layers))


def _keys(geometry: CacheGeometry, layer: Any) -> torch.Tensor:
    """A single token's [heads, D] as stored, in float64."""
    parts = [layer.keys, layer.values] if geometry.is_latent else [layer.keys]
    return torch.cat([part[0, :, 0].cpu().double() for part in parts], -1)


def _rope_between(at_zero: torch.Tensor, moved: torch.Tensor, candidates: list[torch.Tensor], position: int,
                  dtype: torch.dtype) -> Rope | None:
    best, least = None, _TOLERANCE[dtype] * float(moved.norm())
    for rope in _hypotheses(candidates, at_zero.shape[-1]):
        error = float((_rotated(at_zero, rope, position) - moved).norm())
        if error < least:
            best, least = rope, error
    return best


def _hypotheses(candidates: list[torch.Tensor], head_size: int) -> Iterator[Rope]:
    for inv_freq in candidates:
        rotary_dims = 2 * len(inv_freq)
        if rotary_dims <= head_size:
            for first_dim in sorted({0, head_size - rotary_dims}):
                for pairing in ("half", "interleaved"):
                    yield Rope(tuple(inv_freq.tolist()), pairing, first_dim)


def _rotated(keys: torch.Tensor, rope: Rope, position: int) -> torch.Tensor:
    angles = torch.from_numpy(np.asarray(rope.inv_freq)) * position
    half = len(angles)
    dims = torch.arange(half)
    if rope.pairing == "half":
        first, second = dims + rope.first_dim, dims + rope.first_dim + half
    else:
        first, second = 2 * dims + rope.first_dim, 2 * dims + rope.first_dim + 1
    turned = keys.clone()
    turned[..., first] = keys[..., first] * angles.cos() - keys[..., second] * angles.sin()
    turned[..., second] = keys[..., second] * angles.cos() + keys[..., first] * angles.sin()
    return turned
