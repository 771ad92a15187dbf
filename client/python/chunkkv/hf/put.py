"""Puts what a prefill left behind: its cache and the queries of its last tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..client import Client
from ..errors import InvalidArgument, Unimplemented
from ..identity import ModelIdentity
from ..layers import Layer, VerbatimLayer
from ..results import PutResult
from ..spec import CompactionSpec
from .capture import QueryWindow
from .geometry import CacheGeometry, geometry_of
from .identity import identity_of
from .latent import latent_queries
from .rope import Ropes, measured_ropes
from .rows import LayerRows, cache_size, full_rows, sliding_rows

SCORED_POLICIES = ("chunk_kv", "snap_kv", "h2o")


def put(client: Client, model: Any, tokens: Any, cache: Any, window: QueryWindow | None, spec: CompactionSpec, *,
        identity: ModelIdentity | None = None, rope: bool = True, **options: Any) -> PutResult:
    """Puts one prompt.

    tokens: the ids [L] or [1, L] that the cache holds, all of them. cache: the model's past_key_values, of one row.
    window: of the prefill, where spec's policy scores; else None. h2o too is scored by the window's queries here, not
    by those of all tokens. A cache that was loaded compact and has grown goes with policy external: its kept positions
    are known, and L counts all tokens.

    Layers that attend to all tokens are compacted, sliding-window layers are stored as they are. identity: by default
    identity_of(model). rope: whether to measure how keys rotate (two forward calls of one token, once a model), so that
    the entry can be served at contiguous positions; never for models with sliding-window layers, whose own keys stay
    where they are. options: of Client.put, such as block_extra for what the ids do not tell (an image's hash).

    Errors: those of Client.put; InvalidArgument (WINDOW_MISSING, WINDOW_TOO_SHORT, WINDOW_ELSEWHERE, TOKEN_COUNT,
    POLICY, POSITIONS_MOVED, BATCH), Unimplemented (UNSUPPORTED_MODEL, UNSUPPORTED_CACHE).
    """
    ids = torch.as_tensor(np.asarray(tokens) if not isinstance(tokens, torch.Tensor) else tokens)
    results = put_batch(client, model, ids.reshape(1, -1), cache, window, spec, identity=identity, rope=rope, **options)
    return results[0]


def put_batch(client: Client, model: Any, tokens: torch.Tensor, cache: Any, window: QueryWindow | None,
              spec: CompactionSpec, *, attention_mask: torch.Tensor | None = None,
              identity: ModelIdentity | None = None, rope: bool = True, **options: Any) -> list[PutResult]:
    """Puts the prompts of a batch, one entry a row.

    tokens [batch, columns] and attention_mask [batch, columns] as the model had them: 0 where a column is padding, on
    either side (sliding-window layers need it on the left). Positions must count a row's own tokens: with padding on
    the left, give the model position_ids, as generate does. The rest as put has it.
    """
    batch, columns = cache_size(cache)
    if batch != len(tokens):
        raise InvalidArgument("BATCH", f"the cache has {batch} rows, tokens {len(tokens)}")
    if tokens.shape[1] != columns:
        raise InvalidArgument("TOKEN_COUNT", f"the cache holds {columns} tokens, and {tokens.shape[1]} are named")
    real = torch.ones(tokens.shape, dtype=torch.bool) if attention_mask is None else attention_mask.cpu().bool()
    if real.shape != tokens.shape:
        raise InvalidArgument("ATTENTION_MASK", f"attention_mask is {tuple(real.shape)}, tokens {tuple(tokens.shape)}")
    model_identity = identity or identity_of(model)
    source = _Source(model, cache, window, spec, rope)
    return [client.put(model=model_identity, tokens=tokens[row].cpu()[real[row]].numpy(),
                       **source.put_arguments(row, real[row]), **options)
            for row in range(len(tokens))]


class _Source:
    """Layers to put, row by row."""

    def __init__(self, model: Any, cache: Any, window: QueryWindow | None, spec: CompactionSpec, rope: bool):
        self._model, self._cache, self._window, self._spec, self._rope = model, cache, window, spec, rope
        self._geometry = geometry_of(model)
        if len(cache.layers) != len(self._geometry.windows):
            raise Unimplemented("UNSUPPORTED_MODEL",
                                f"the cache has {len(cache.layers)} layers, the model's config says "
                                f"{len(self._geometry.windows)}")
        if spec.policy not in SCORED_POLICIES or not self._geometry.full_layers:
            self._window = None
        elif window is None:
            raise InvalidArgument("WINDOW_MISSING", f"{spec.policy} scores tokens: put needs the queries of "
                                                    "capture_queries")

    def put_arguments(self, row: int, real: torch.Tensor) -> dict[str, Any]:
        token_count = int(real.sum())
        self._check_window(row, token_count)
        windows = self._geometry.windows
        rows = [full_rows(layer, row, real) if size is None else sliding_rows(layer, row, real, size)
                for layer, size in zip(self._cache.layers, windows)]
        _check_shapes(rows, self._geometry)
        ropes = self._ropes()
        layers = [_verbatim(each) if windows[index] is not None else self._attention(index, row, each, ropes[index])
                  for index, each in enumerate(rows)]
        arguments: dict[str, Any] = {"layers": layers, "spec": self._spec, "token_count": token_count}
        positions = [each.positions for each, size in zip(rows, windows) if size is None]
        if self._spec.policy == "external":
            lists = [np.arange(token_count) if each is None else each for each in positions]
            arguments["positions"] = _grouped(self._spec, lists)
        elif any(each is not None for each in positions):
            raise InvalidArgument("POLICY", "the cache is compact already: put it with policy external")
        return arguments

    def _check_window(self, row: int, token_count: int) -> None:
        if self._window is None:
            return
        missing = [layer for layer in self._geometry.full_layers if layer not in self._window.layers]
        if missing:
            raise InvalidArgument("WINDOW_MISSING", f"no queries were captured of layers {missing}: the prefill has to "
                                                    "run inside capture_queries, uncompiled, through transformers' "
                                                    "attention interface")
        needed = min(self._spec.effective_window_length, token_count)
        captured = len(self._window.of_row(self._geometry.full_layers[0], row))
        if captured < needed:
            raise InvalidArgument("WINDOW_TOO_SHORT", f"queries of {captured} tokens were captured, and the spec's "
                                                      f"window has {needed}")
        if self._window.ends[row] != token_count:
            raise InvalidArgument("WINDOW_ELSEWHERE",
                                  f"the captured window ends before position {self._window.ends[row]}, and row {row} "
                                  f"has {token_count} tokens: of another forward call, or padded on the left without "
                                  "position_ids")

    def _ropes(self) -> Ropes:
        """None for all layers where contiguous positions would be wrong: some keys stay where they are."""
        windows = self._geometry.windows
        if not self._rope or any(size is not None for size in windows):
            return (None,) * len(windows)
        return measured_ropes(self._model)

    def _attention(self, index: int, row: int, rows: LayerRows, rope: Any) -> Layer:
        keys, values = rows.keys, rows.values if rows.values.shape[-1] else None
        if self._geometry.is_latent:
            keys, values = torch.cat([rows.keys, rows.values], -1), None
        layer = Layer(k=keys, v=values, head_major=True, rope=rope)
        if self._window is None:
            return layer
        captured = self._window.layers[index]
        queries = self._window.of_row(index, row)
        if self._geometry.is_latent:
            queries = latent_queries(self._model, index, queries)
        return replace(layer, queries=queries, scale=captured.scale, softcap=captured.softcap,
                       sink_logits=None if captured.sink_logits is None else captured.sink_logits.float())


def _verbatim(rows: LayerRows) -> VerbatimLayer:
    """shape: int64 [heads, rows, key head size, value head size]."""
    shape = np.array([*rows.keys.shape, rows.values.shape[-1]], "<i8")
    return VerbatimLayer({"shape": shape, "keys": rows.keys, "values": rows.values})


def _check_shapes(rows: list[LayerRows], geometry: CacheGeometry) -> None:
    for index, (each, size) in enumerate(zip(rows, geometry.windows)):
        heads, key_size = each.keys.shape[0], each.keys.shape[2]
        value_size = each.values.shape[2]
        if geometry.is_latent:
            key_size, value_size = key_size + value_size, 0
        expected = (geometry.kv_head_count, geometry.key_head_size, geometry.value_head_size)
        if size is None and (heads, key_size, value_size) != expected:
            raise Unimplemented("UNSUPPORTED_MODEL",
                                f"layer {index} caches {(heads, key_size, value_size)} KV heads and sizes of K and V, "
                                f"the model's config says {expected}")


def _grouped(spec: CompactionSpec, lists: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """One list of positions a reuse group, of lists of every layer.

    Errors: InvalidArgument (POSITIONS) where the layers of a group differ.
    """
    if spec.groups:
        bounds = [(group.first_layer, group.first_layer + group.layer_count) for group in spec.groups]
    else:
        step = spec.reuse_group or 1
        bounds = [(first, min(first + step, len(lists))) for first in range(0, len(lists), step)]
    for first, end in bounds:
        if any(not np.array_equal(lists[first], each) for each in lists[first + 1:end]):
            raise InvalidArgument("POSITIONS", f"layers {first} to {end - 1} form a group and keep different tokens")
    return [lists[first] for first, _ in bounds]
