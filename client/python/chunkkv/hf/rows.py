"""One row of a batch, taken out of a transformers cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, StaticLayer, StaticSlidingWindowLayer

from ..errors import InvalidArgument, Unimplemented
from .cache import CompactLayer, MovedLayer


@dataclass(frozen=True, eq=False)
class LayerRows:
    """keys [Hkv, rows, D] and values [Hkv, rows, Dv] of one prompt, without padding; views where they can be.
    positions: [rows], of a layer that holds some tokens only; None: it holds all, or, sliding, the last."""

    keys: torch.Tensor
    values: torch.Tensor
    positions: np.ndarray[Any, Any] | None = None


def cache_size(cache: Any) -> tuple[int, int]:
    """The batch, and how many tokens, padding included, the cache has seen. Errors: InvalidArgument (EMPTY_CACHE)."""
    layers = getattr(cache, "layers", None)
    if not layers or getattr(layers[0], "keys", None) is None:
        raise InvalidArgument("EMPTY_CACHE", f"the {type(cache).__name__} has no layers with keys and values")
    return int(layers[0].keys.shape[0]), int(layers[0].get_seq_length())


def full_rows(layer: Any, row: int, real: torch.Tensor) -> LayerRows:
    """Of a layer that attends to all tokens. real: [columns] bool, which columns are tokens.

    Errors: Unimplemented (UNSUPPORTED_CACHE), InvalidArgument (POSITIONS_MOVED).
    """
    if isinstance(layer, MovedLayer):
        raise InvalidArgument("POSITIONS_MOVED", "a compact cache that was loaded with positions \"contiguous\" cannot "
                                                 "be put: its keys are no longer where its tokens are")
    keys, values = _tensors(layer, (DynamicLayer, StaticLayer, CompactLayer))
    if not isinstance(layer, CompactLayer):
        columns = _selector(real)
        return LayerRows(keys[row][:, columns], values[row][:, columns])
    token_count = int(real.sum())
    real = real[layer.first_column:].clone()
    stored = layer.positions[row]
    real[:len(stored)] &= stored >= 0
    kept = stored[real[:len(stored)]].numpy()
    columns = _selector(real)
    new = int(real[len(stored):].sum())
    positions = np.concatenate([kept, np.arange(token_count - new, token_count)])
    return LayerRows(keys[row][:, columns], values[row][:, columns],
                     None if len(positions) == token_count else positions)


def sliding_rows(layer: Any, row: int, real: torch.Tensor, window: int) -> LayerRows:
    """Of a sliding-window layer: the last `window` - 1 tokens, or all where there are fewer.

    Errors: Unimplemented (UNSUPPORTED_CACHE), InvalidArgument (ROWS_GONE) where padding took their place.
    """
    keys, values = _tensors(layer, (DynamicLayer, DynamicSlidingWindowLayer, StaticLayer, StaticSlidingWindowLayer))
    held = min(len(real), keys.shape[2])
    keys, values = keys[row][:, :held], values[row][:, :held]
    columns = torch.nonzero(real[len(real) - held:])[:, 0]
    needed = min(window - 1, int(real.sum()))
    if len(columns) < needed:
        raise InvalidArgument("ROWS_GONE",
                              f"a sliding-window layer holds {len(columns)} of the last {needed} tokens of row {row}: "
                              "pad the batch on the left")
    columns = columns[len(columns) - needed:]
    return LayerRows(keys[:, columns], values[:, columns])


def _tensors(layer: Any, known: tuple[type, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    if type(layer) not in known:
        raise Unimplemented("UNSUPPORTED_CACHE", f"a layer of the cache is a {type(layer).__name__}; known here are "
                                                 f"{', '.join(each.__name__ for each in known)}")
    if layer.keys is None:
        raise InvalidArgument("EMPTY_CACHE", "a layer of the cache is empty")
    return layer.keys, layer.values


def _selector(real: torch.Tensor) -> Any:
    """The columns as a slice where they are consecutive, so that a view is enough."""
    columns = torch.nonzero(real)[:, 0]
    if not len(columns):
        raise InvalidArgument("EMPTY_ROW", "a row of the batch has no tokens")
    begin, end = int(columns[0]), int(columns[-1]) + 1
    return slice(begin, end) if end - begin == len(columns) else columns
