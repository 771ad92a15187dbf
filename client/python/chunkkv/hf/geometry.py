"""What the layers of a model's cache hold, as its config says."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from ..errors import Unimplemented


@dataclass(frozen=True)
class CacheGeometry:
    """windows: of each layer of the cache, its sliding window; None where it attends to all tokens.

    is_latent: the model caches latents of MLA, [1, tokens, latent_size] as keys and the rotated part of the keys,
    shared by the heads, as values. They are stored as one K tensor, [latent, rotated], without V.
    """

    windows: tuple[int | None, ...]
    kv_head_count: int
    key_head_size: int
    value_head_size: int
    latent_size: int = 0

    @property
    def is_latent(self) -> bool:
        return self.latent_size > 0

    @property
    def full_layers(self) -> list[int]:
        """The layers that attend to all tokens: those that can be compacted."""
        return [layer for layer, window in enumerate(self.windows) if window is None]


def geometry_of(model: Any) -> CacheGeometry:
    """Errors: Unimplemented (UNSUPPORTED_MODEL)."""
    config = text_config(model)
    windows = layer_windows(model)
    heads = config.num_attention_heads
    rotary = getattr(config, "qk_rope_head_dim", None)
    if getattr(config, "kv_lora_rank", None) and rotary:
        if any(hasattr(module, "expand_kv") for module in decoder_of(model).modules()):
            return CacheGeometry(windows, 1, config.kv_lora_rank + rotary, 0, config.kv_lora_rank)
        return CacheGeometry(windows, heads, config.qk_nope_head_dim + rotary, config.v_head_dim)
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return CacheGeometry(windows, getattr(config, "num_key_value_heads", None) or heads, size, size)


def layer_windows(model: Any) -> tuple[int | None, ...]:
    """Of each layer of the model's cache its sliding window, or None. Errors: Unimplemented (UNSUPPORTED_MODEL)."""
    windows: list[int | None] = []
    for index, layer in enumerate(DynamicCache(config=text_config(model)).layers):
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            raise Unimplemented("UNSUPPORTED_MODEL", f"{type(model).__name__}: layer {index} of its cache is a "
                                                     f"{type(layer).__name__}, which holds more than keys and values")
        windows.append(layer.sliding_window if isinstance(layer, DynamicSlidingWindowLayer) else None)
    return tuple(windows)


def text_config(model: Any) -> Any:
    """The decoder's config. Errors: Unimplemented (UNSUPPORTED_MODEL)."""
    config = model.config
    if getattr(config, "is_encoder_decoder", False):
        raise Unimplemented("UNSUPPORTED_MODEL", f"{type(model).__name__} is an encoder-decoder model")
    return config.get_text_config(decoder=True)


def decoder_of(model: Any) -> Any:
    """The module that holds the decoder's layers."""
    return model.get_decoder()


def layer_devices(model: Any) -> list[Any]:
    """The device of each layer's weights; that of the embeddings where modules do not tell their layer."""
    found = {module.layer_idx: next(module.parameters()).device for module in decoder_of(model).modules()
             if isinstance(getattr(module, "layer_idx", None), int) and any(True for _ in module.parameters())}
    default = model.get_input_embeddings().weight.device
    return [found.get(layer, default) for layer in range(text_config(model).num_hidden_layers)]


def cache_argument(module: Any) -> str:
    """What the module's forward calls its cache: `past_key_values`, or `cache` since transformers 5.2x."""
    return "cache" if "cache" in inspect.signature(type(module).forward).parameters else "past_key_values"
