"""A cache that was loaded, and what a model needs to go on with it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import InvalidArgument
from ..results import EntryHeader


@dataclass(frozen=True, eq=False)
class ServedRow:
    """One prompt's entry. next_position: of the next token, L for original positions. positions: of each layer's rows,
    None for sliding-window layers."""

    header: EntryHeader
    next_position: int
    row_count: int
    positions: tuple[np.ndarray[Any, Any] | None, ...]


@dataclass(frozen=True, eq=False)
class Served:
    """A loaded batch. cache: grows as the model goes on. cache_argument: what the model calls it.

    tokens, attention_mask: [batch, columns], what the cache stood for when it was loaded, padded on the left. Where a
    prompt's rows are fewer than another's there is padding inside the mask too.
    """

    cache: Any
    tokens: torch.Tensor
    attention_mask: torch.Tensor
    rows: tuple[ServedRow, ...]
    cache_argument: str

    @property
    def next_position(self) -> int:
        """Of the next token, as loaded. Errors: ValueError where there are several prompts."""
        return self._only().next_position

    @property
    def row_count(self) -> int:
        return self._only().row_count

    @property
    def positions(self) -> tuple[np.ndarray[Any, Any] | None, ...]:
        return self._only().positions

    def forward_inputs(self, input_ids: Any) -> dict[str, Any]:
        """What model(**inputs) takes to go on with input_ids [batch, new] (or [new] of a single prompt) after all that
        the cache holds."""
        ids = self._new_ids(input_ids)
        grown = self.cache.get_seq_length() - self.tokens.shape[1]
        first = torch.tensor([row.next_position for row in self.rows], device=ids.device) + grown
        inputs = {"input_ids": ids, "position_ids": first[:, None] + torch.arange(ids.shape[1], device=ids.device),
                  self.cache_argument: self.cache}
        if self._is_padded:
            inputs["attention_mask"] = _extended(self.attention_mask, grown + ids.shape[1])
        return inputs

    def generate_inputs(self, input_ids: Any) -> dict[str, Any]:
        """What model.generate(**inputs) takes to go on with input_ids: all that follows what was loaded, also what the
        cache has seen since (the turns of a conversation). What generate returns begins with inputs["input_ids"].

        Errors: InvalidArgument (NO_NEW_TOKEN) where the cache has seen all of them.
        """
        ids = self._new_ids(input_ids)
        grown = self.cache.get_seq_length() - self.tokens.shape[1]
        if ids.shape[1] <= grown:
            raise InvalidArgument("NO_NEW_TOKEN", f"the cache has grown by {grown} tokens, and {ids.shape[1]} follow "
                                                  "what was loaded: at least one has to be new")
        return {"input_ids": torch.cat([self.tokens.to(ids.device), ids], 1),
                "attention_mask": _extended(self.attention_mask, ids.shape[1]), self.cache_argument: self.cache}

    @functools.cached_property
    def _is_padded(self) -> bool:
        return not bool(self.attention_mask.all())

    def _new_ids(self, input_ids: Any) -> torch.Tensor:
        ids = torch.as_tensor(input_ids, device=self.attention_mask.device)
        if ids.ndim < 2:
            ids = ids.reshape(1, -1)
        if len(ids) != len(self.rows) or not ids.shape[1]:
            raise InvalidArgument("BATCH", f"input_ids are {tuple(ids.shape)}, not [{len(self.rows)}, at least 1]")
        return ids

    def _only(self) -> ServedRow:
        if len(self.rows) != 1:
            raise ValueError(f"{len(self.rows)} prompts were loaded: see rows")
        return self.rows[0]


def _extended(mask: torch.Tensor, new: int) -> torch.Tensor:
    return torch.cat([mask, mask.new_ones(len(mask), new)], 1)
