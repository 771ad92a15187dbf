"""A cache that does not copy itself at every step: rows are written in place into room made beforehand."""

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer


class RoomLayer(DynamicLayer):
    """keys, values: views [batch, Hkv, rows, D] of the rows so far; room for `new_tokens` more lies behind them."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, new_tokens: int):
        super().__init__()
        self.lazy_initialization(keys, values)
        rows = keys.shape[-2]
        self._key_room, self._value_room = (
            tensor.new_zeros((*tensor.shape[:-2], rows + new_tokens, tensor.shape[-1])) for tensor in (keys, values))
        self.keys, self.values = self._key_room[..., :0, :], self._value_room[..., :0, :]
        self.update(keys, values)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any):
        """Errors: ValueError when the room is used up."""
        begin = self.keys.shape[-2]
        end = begin + key_states.shape[-2]
        if end > self._key_room.shape[-2]:
            raise ValueError(f"{end} rows in a room for {self._key_room.shape[-2]}")
        self._key_room[..., begin:end, :] = key_states
        self._value_room[..., begin:end, :] = value_states
        self.keys, self.values = self._key_room[..., :end, :], self._value_room[..., :end, :]
        return self.keys, self.values

    @property
    def room_bytes(self) -> int:
        return self._key_room.nbytes + self._value_room.nbytes


def with_room(cache: Any, new_tokens: int) -> DynamicCache:
    """The rows of a transformers cache, copied to where `new_tokens` more fit behind them."""
    roomy = DynamicCache()
    roomy.layers = [RoomLayer(layer.keys, layer.values, new_tokens) for layer in cache.layers]
    return roomy


def room_bytes(cache: DynamicCache) -> int:
    return sum(layer.room_bytes for layer in cache.layers)
