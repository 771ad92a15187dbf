"""The rows of a step's requests, as the attention layers receive them: before the backend packs them into its cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .plan import SavedRows


class AttentionInputs:
    """Keeps the query, key and value that each layer was called with last, while somebody wants them."""

    def __init__(self, layers: Mapping[str, Any], are_wanted: Callable[[], bool]):
        self._latest: dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        self._are_wanted = are_wanted
        for name, layer in layers.items():
            self._watch(name, layer.impl)

    def take(self, layer_name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        return self._latest.pop(layer_name, None)

    def _watch(self, name: str, implementation: Any) -> None:
        forward = implementation.forward

        def watched(layer: Any, query: Any, key: Any, value: Any, *rest: Any, **named: Any) -> Any:
            if key is not None and value is not None and self._are_wanted():
                self._latest[name] = query, key, value
            return forward(layer, query, key, value, *rest, **named)

        implementation.forward = watched


def rows_in_batch(slots: np.ndarray[Any, Any], wanted: Iterable[SavedRows], block_size: int) -> dict[str, int]:
    """Where the rows of each request begin in a step's batch, whose i-th row goes to cache slot slots[i]. Requests whose
    rows are not found, one after the other, are left out."""
    found = {}
    for rows in wanted:
        expected = slots_of(rows.block_ids, rows.begin - rows.first_block * block_size,
                            rows.end - rows.first_block * block_size, block_size)
        for start in np.flatnonzero(slots == expected[0]):
            if np.array_equal(slots[start:start + len(expected)], expected):
                found[rows.request_id] = int(start)
    return found


def slots_of(block_ids: Sequence[int], begin: int, end: int, block_size: int) -> np.ndarray[Any, Any]:
    """Cache slots of tokens [begin, end) of a request with these blocks."""
    positions = np.arange(begin, end)
    return np.asarray(block_ids, np.int64)[positions // block_size] * block_size + positions % block_size
