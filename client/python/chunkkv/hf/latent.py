"""Multi-head latent attention (DeepSeek) as attention over one KV head: the latents are its keys."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import Unimplemented
from .geometry import decoder_of

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def latent_queries(model: Any, layer: int, queries: torch.Tensor) -> torch.Tensor:
    """Queries [w, H, nope + rope] as they meet [latent, rotated keys]: [w, H, latent + rope] in float32.

    q_nope . (W_k c) = (W_k^T q_nope) . c, W_k being the layer's kv_b_proj up to nope.
    Errors: Unimplemented (UNSUPPORTED_MODEL).
    """
    attention = next((module for module in decoder_of(model).modules()
                      if getattr(module, "layer_idx", None) == layer and hasattr(module, "kv_b_proj")), None)
    if attention is None:
        raise Unimplemented("UNSUPPORTED_MODEL", f"layer {layer} has no kv_b_proj that expands its latents")
    heads, nope = queries.shape[1], attention.qk_nope_head_dim
    weight = getattr(attention.kv_b_proj, "weight", None)
    shape = (heads * (nope + attention.v_head_dim), attention.kv_lora_rank)
    if not isinstance(weight, torch.Tensor) or weight.dtype not in _DTYPES or weight.shape != shape:
        found = f"{weight.dtype} {tuple(weight.shape)}" if isinstance(weight, torch.Tensor) else type(weight).__name__
        raise Unimplemented("UNSUPPORTED_MODEL", f"the kv_b_proj of layer {layer} has a weight of {found}, not a "
                                                 f"float32, float16 or bfloat16 one of {shape}: quantised?")
    expand = weight.detach().float().view(heads, -1, shape[1])[:, :nope]
    content = torch.einsum("whn,hnc->whc", queries[..., :nope].float(), expand)
    return torch.cat([content, queries[..., nope:].float()], -1)
