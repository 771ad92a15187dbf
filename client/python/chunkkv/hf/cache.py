"""Layers of a transformers cache that hold the rows of some tokens only."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicLayer


class MovedLayer(DynamicLayer):  # type: ignore[misc, unused-ignore]
    """Rows of the tokens that were kept, moved to contiguous positions: to the model those of a shorter prompt, which
    none of its tokens' ids name."""


class CompactLayer(DynamicLayer):  # type: ignore[misc, unused-ignore]
    """Rows of the tokens that were kept, and of those that follow.

    To the model it is as long as the tokens seen, so that positions and causal masks come out right by themselves: its
    rows are the last of these columns. An attention_mask counts columns too, not rows.

    keys [batch, Hkv, rows, D], values [batch, Hkv, rows, Dv]. positions: [batch, rows] int64 on the CPU, of the rows it
    began with, -1 where a row is padding. column_count: columns that these rows stand for.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, positions: torch.Tensor, column_count: int):
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values, self.positions = keys, values, positions
        self.first_column = column_count - keys.shape[-2]

    def get_seq_length(self) -> int:
        return int(self.first_column + self.keys.shape[-2])

    def get_mask_sizes(self, query: Any) -> tuple[int, int]:
        """query: their count, or their cache_position in transformers before 5.20."""
        new = int(query) if not isinstance(query, torch.Tensor) else int(query.shape[0])
        return int(self.keys.shape[-2]) + new, self.first_column

    def crop(self, length: int) -> None:
        """Removes -length tokens (none for 0, which generate calls after a step without rejected candidates), or all
        columns from `length` on. Errors: ValueError where kept rows would go."""
        surplus = -length if length <= 0 else max(0, self.get_seq_length() - length)
        left = self.keys.shape[-2] - surplus
        if left < self.positions.shape[1]:
            raise ValueError("a compact layer can be cropped down to the tokens that it was loaded with")
        self.keys, self.values = self.keys[..., :left, :], self.values[..., :left, :]

    def reset(self) -> None:
        raise ValueError("a compact layer cannot be reset: load the entry again")

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        super().reorder_cache(beam_idx)
        self.positions = self.positions[beam_idx.cpu()]

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)
        self.positions = self.positions.repeat_interleave(repeats, 0)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        super().batch_select_indices(indices)
        self.positions = self.positions[indices.cpu()]
