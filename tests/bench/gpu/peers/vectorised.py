"""A compaction as it would be written with care in PyTorch: no loop over chunks, heads or queries, no wait for the
device, products of 16-bit inputs summed in float32.

Rows are seen by head, [N, Hkv, L, D] of any strides. Layers are batched where they lie so and their logits fit.
"""

import torch
from torch.nn import functional

LOGIT_BYTES = 2 << 30  # at most, of the layers that are scored at once


def score(queries, keys, lse=None, logit_bytes=LOGIT_BYTES):
    """Token scores float32 [N, P]: attention summed over heads and window.

    queries: [N, w, H, D] of the last w tokens; keys: [N, Hkv, L, D]; lse: [N, w, H], natural log, or None.
    """
    layers, window, heads, _ = queries.shape
    at_once = max(1, logit_bytes // (4 * window * heads * keys.shape[2])) if keys.is_contiguous() else 1
    parts = [_score_together(queries[first:first + at_once], keys[first:first + at_once],
                             None if lse is None else lse[first:first + at_once])
             for first in range(0, layers, at_once)]
    return torch.cat(parts)


def _score_together(queries, keys, lse):
    layers, window, heads, head_size = queries.shape
    kv_heads, tokens = keys.shape[1:3]
    past, group = tokens - window, heads // kv_heads
    if lse is None:
        weights = masked_logits(queries, keys).softmax(-1)[..., :past]
    else:
        by_kv_head = lse.view(layers, window, kv_heads, group).permute(0, 2, 3, 1)
        denominators = by_kv_head.reshape(layers * kv_heads, group * window, 1)
        logits = _products(queries, keys[:, :, :past])
        weights = torch.add(-denominators, logits, alpha=head_size ** -0.5, out=logits).exp_()
    return weights.sum(1).view(layers, kv_heads, past).sum(1)


def masked_logits(queries, keys):
    """float32 [N * Hkv, G * w, L], -inf where a query sees no key. queries: [N, w, H, D]; keys: [N, Hkv, L, D]."""
    _, window, heads, head_size = queries.shape
    kv_heads, tokens = keys.shape[1:3]
    logits = _products(queries, keys).mul_(head_size ** -0.5)
    unseen = torch.ones(window, window, dtype=torch.bool, device=keys.device).triu_(1)
    of_window = logits.view(-1, heads // kv_heads, window, tokens)[..., tokens - window:]
    of_window.masked_fill_(unseen, float("-inf"))
    return logits


def _products(queries, keys):
    """float32 [N * Hkv, G * w, keys]; sums of 16-bit products are never rounded to 16 bits."""
    layers, window, heads, head_size = queries.shape
    kv_heads = keys.shape[1]
    by_kv_head = queries.view(layers, window, kv_heads, heads // kv_heads, head_size).permute(0, 2, 3, 1, 4)
    rows = by_kv_head.reshape(layers * kv_heads, -1, head_size)
    columns = keys.flatten(0, 1).transpose(1, 2)
    if rows.dtype == torch.float32:
        return torch.bmm(rows, columns)
    if rows.is_cuda:
        return torch.bmm(rows, columns, out_dtype=torch.float32)
    return torch.bmm(rows.float(), columns.float())


def select(scores, room, chunk_length, window, pool=1):
    """Kept positions int64 [N, room + window], ascending: the best chunks by the sum of their token scores, the last
    cut to `room` tokens, and the window.

    scores: [N, P]; room is at most P; pool: width of smoothing, odd.
    """
    layers, past = scores.shape
    if pool > 1:
        scores = functional.avg_pool1d(scores[:, None], pool, stride=1, padding=pool // 2)[:, 0]
    by_chunk = functional.pad(scores, (0, -past % chunk_length)).view(layers, -1, chunk_length).sum(-1)
    needed = min(by_chunk.shape[1], -(-room // chunk_length) + 1)  # one more where the short last chunk is among them
    best = by_chunk.topk(needed).indices
    lengths = (past - best * chunk_length).clamp_(max=chunk_length)
    taken = (room - (lengths.cumsum(1) - lengths)).clamp_(min=0).minimum(lengths)
    chunks, order = best.sort(1)
    taken = taken.gather(1, order)
    ends = taken.cumsum(1)
    slots = torch.arange(room, device=scores.device).expand(layers, room)
    place = torch.searchsorted(ends, slots.contiguous(), right=True)
    kept = chunks.gather(1, place) * chunk_length + slots - (ends - taken).gather(1, place)
    tail = torch.arange(past, past + window, device=scores.device).expand(layers, window)
    return torch.cat([kept, tail], 1)


def gather_token_major(rows, positions):
    """[N, B, Hkv, D]. rows: [N, L, Hkv, D], dense; positions: [N, B]."""
    layers, tokens = rows.shape[:2]
    first = torch.arange(layers, device=rows.device)[:, None] * tokens
    kept = rows.view(layers * tokens, -1).index_select(0, (positions + first).flatten())
    return kept.view(*positions.shape, *rows.shape[2:])


def gather_head_major(rows, positions):
    """[N, Hkv, B, D]. rows: [N, Hkv, L, D], dense; positions: [N, B]."""
    layers, kv_heads, tokens, head_size = rows.shape
    first = torch.arange(layers * kv_heads, device=rows.device).view(layers, kv_heads, 1) * tokens
    kept = rows.view(-1, head_size).index_select(0, (positions[:, None] + first).flatten())
    return kept.view(layers, kv_heads, -1, head_size)


def gather_paged(blocks, block_ids, positions):
    """[N, B, Hkv, D]. blocks: an engine's cache [N, blocks, tokens a block, Hkv, D]; block_ids: [N, ceil(L / tokens a
    block)], of each layer; positions: [N, B]."""
    length = blocks.shape[2]
    cached = block_ids.gather(1, positions // length) * length + positions % length
    return gather_token_major(blocks.flatten(1, 2), cached)


def compact(queries, keys, values, lse, room, chunk_length, reuse=1, head_major=False, pool=1):
    """Positions int64 [N, room + window], and kept keys and values, laid out as they are.

    keys, values: [N, L, Hkv, D], or [N, Hkv, L, D] where head_major, dense; queries and lse as in score. The first of
    `reuse` layers chooses for its group.
    """
    by_head = keys if head_major else keys.transpose(1, 2)
    scores = score(queries[::reuse], by_head[::reuse], None if lse is None else lse[::reuse])
    lists = select(scores, room, chunk_length, queries.shape[1], pool)
    positions = lists.repeat_interleave(reuse, 0)[:len(keys)]
    gather = gather_head_major if head_major else gather_token_major
    return positions, gather(keys, positions), gather(values, positions)
