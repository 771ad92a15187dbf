"""ChunkKV as kvpress 0.5.5 does it, step by step and layer by layer: its ChunkKVPress around its SnapKVPress.

The window's queries are given, so that the query projection, which kvpress repeats in its hook, does not count against
it; all else is done as it is done there: repeated KV heads, a mask of the size of the logits, probabilities in the
model's dtype, a loop over the kept chunks that asks the device about each.
"""

import math

import torch
from torch.nn import functional


def compact(queries, keys, values, keep, window, chunk_length, kernel=5):
    """Kept keys and values of each layer: [([1, Hkv, kept, D], [1, Hkv, kept, D])].

    queries: [N, w, H, D]; keys, values: [N, Hkv, L, D]. kernel: width of the pooling, odd.
    """
    return [compact_layer(q.transpose(0, 1)[None], k[None], v[None], keep, window, chunk_length, kernel)
            for q, k, v in zip(queries, keys, values)]


def compact_layer(queries, keys, values, keep, window, chunk_length, kernel):
    """queries: [1, H, w, D]; keys, values: [1, Hkv, L, D]."""
    scores = snapkv_scores(queries, keys, window, kernel)
    positions = kept_positions(scores, 1 - keep, chunk_length)
    index = positions.view(1, 1, -1, 1).expand(-1, keys.shape[1], -1, keys.shape[3])
    return keys.gather(2, index).contiguous(), values.gather(2, index).contiguous()


def snapkv_scores(queries, keys, window, kernel):
    """[1, Hkv, L]: mean attention of a group's heads and the window's queries; of the window more than the largest."""
    _, heads, _, head_size = queries.shape
    _, kv_heads, tokens, _ = keys.shape
    group = heads // kv_heads
    repeated = keys[:, :, None].expand(-1, -1, group, -1, -1).reshape(1, heads, tokens, head_size)
    logits = torch.matmul(queries, repeated.transpose(2, 3)) / math.sqrt(head_size)
    logits += torch.triu(torch.full_like(logits, float("-inf")), diagonal=tokens - window + 1)
    attention = functional.softmax(logits, dim=-1, dtype=torch.float32).to(queries.dtype)[..., :-window]
    scores = functional.avg_pool1d(attention.mean(dim=-2), kernel, stride=1, padding=kernel // 2)
    scores = scores.view(1, kv_heads, group, tokens - window).mean(dim=2)
    return functional.pad(scores, (0, window), value=scores.max().item() + 1)


def kept_positions(scores, removed, chunk_length):
    """int64 [kept], ascending. scores: [1, Hkv, L]; removed: share of the chunks to drop."""
    tokens = scores.shape[-1]
    whole, rest = divmod(tokens, chunk_length)
    by_token = scores.sum(dim=1)
    by_chunk = by_token[:, :whole * chunk_length].view(-1, whole, chunk_length).mean(dim=-1)
    if rest:
        by_chunk = torch.cat([by_chunk, by_token[:, -rest:].mean(dim=-1, keepdim=True)], dim=-1)
    best = by_chunk.topk(max(1, int((whole + (rest > 0)) * (1 - removed))), dim=-1).indices[0]
    ranges = []
    for chunk in best:  # a comparison and two bounds: the device is waited for at each
        first = chunk * chunk_length
        end = first + chunk_length if chunk < whole else tokens
        ranges.append(torch.arange(first, end, device=scores.device))
    return torch.cat(ranges).sort()[0]
