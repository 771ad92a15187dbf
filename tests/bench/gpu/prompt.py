"""A prompt's KV with seeded random contents, in the shape of a model, on a torch device."""

from dataclasses import dataclass

import torch

from gpu.peers.vectorised import masked_logits

TORCH_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
BLOCK_TOKENS = 16  # of a paged cache


@dataclass(frozen=True)
class Prompt:
    """keys, values: [N, L, Hkv, D], or [N, Hkv, L, D] where head_major; queries [N, w, H, D]; lse float32 [N, w, H]."""
    keys: torch.Tensor
    values: torch.Tensor
    queries: torch.Tensor
    lse: torch.Tensor
    head_major: bool

    def keys_by_head(self):
        """[N, Hkv, L, D], as a view."""
        return self.keys if self.head_major else self.keys.transpose(1, 2)


def make_prompt(shape, device, head_major):
    """The Prompt of a Shape."""
    model, dtype = shape.model, TORCH_DTYPES[shape.dtype]
    draw = torch.Generator(device).manual_seed(1)

    def normal(*sizes):
        return torch.randn(model.layers, *sizes, dtype=dtype, device=device, generator=draw)

    rows = (model.kv_heads, shape.tokens) if head_major else (shape.tokens, model.kv_heads)
    keys, values = normal(*rows, model.head_size), normal(*rows, model.head_size)
    queries = normal(shape.window, model.heads, model.head_size)
    by_head = keys if head_major else keys.transpose(1, 2)
    lse = torch.stack([window_lse(queries[layer:layer + 1], by_head[layer:layer + 1]) for layer in range(model.layers)])
    return Prompt(keys, values, queries, lse, head_major)


def window_lse(queries, keys):
    """float32 [w, H]: natural log of the softmax's denominator. queries: [1, w, H, D]; keys: [1, Hkv, L, D]."""
    _, window, heads, _ = queries.shape
    by_kv_head = masked_logits(queries, keys).logsumexp(-1)
    return by_kv_head.view(heads, window).T.contiguous()


def paged(rows):
    """A cache [N, blocks, 16, Hkv, D] with the rows [N, L, Hkv, D] in blocks of a seeded random order, and the blocks'
    ids [N, blocks]; L is a multiple of 16."""
    layers, tokens = rows.shape[:2]
    draw = torch.Generator(rows.device).manual_seed(2)
    blocks = rows.view(layers, tokens // BLOCK_TOKENS, BLOCK_TOKENS, *rows.shape[2:])
    ids = torch.stack([torch.randperm(blocks.shape[1], device=rows.device, generator=draw) for _ in range(layers)])
    cache = torch.empty_like(blocks)
    for layer in range(layers):
        cache[layer, ids[layer]] = blocks[layer]
    return cache, ids
