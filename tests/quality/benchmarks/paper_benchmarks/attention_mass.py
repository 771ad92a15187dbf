"""Attention added up over all queries: the token scores of H2O (arXiv 2306.14048)."""

import torch

LOGITS_AT_ONCE = 1 << 25


def accumulated_attention(queries, keys, scale=None, softcap=None, sink_logits=None):
    """float32 [L]: the attention that each token receives, summed over heads and over all queries that see it.

    queries: [H, L, D] and keys: [Hkv, L, D], RoPE applied. scale: of the logits, 1 / sqrt(D) by default. softcap,
    sink_logits [H]: as the model's attention has them. Time is quadratic in L; at most LOGITS_AT_ONCE logits are held,
    and those of one query at the least."""
    heads, length, size = queries.shape
    keys = keys.float().repeat_interleave(heads // len(keys), 0).transpose(1, 2)
    scale = size**-0.5 if scale is None else scale
    block = max(1, LOGITS_AT_ONCE // (heads * length))
    received = torch.zeros(length, device=queries.device)
    for begin in range(0, length, block):
        end = min(begin + block, length)
        logits = queries[:, begin:end].float() @ keys[..., :end] * scale
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        hidden = torch.ones(end - begin, end, dtype=torch.bool, device=queries.device).triu(begin + 1)
        logits = logits.masked_fill(hidden, -torch.inf)
        if sink_logits is not None:
            logits = torch.cat([logits, sink_logits.float()[:, None, None].expand(heads, end - begin, 1)], -1)
        received[:end] += logits.softmax(-1)[..., :end].sum((0, 1))
    return received
