"""Loads entries into a transformers cache, and goes on from there."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from ..client import Client
from ..errors import DataLoss, InvalidArgument, Unimplemented
from ..identity import ModelIdentity
from ..results import Entry, EntryHeader
from ..spec import CompactionSpec
from .cache import CompactLayer, MovedLayer
from .geometry import CacheGeometry, cache_argument, decoder_of, geometry_of, layer_devices, text_config
from .identity import identity_of
from .served import Served, ServedRow


def load(client: Client, model: Any, tokens: Any, *, identity: ModelIdentity | None = None, **options: Any) -> Served:
    """Loads the entry of one prompt.

    tokens: the ids [L] or [1, L] that were put. identity: by default identity_of(model). options: of Client.get: spec,
    or accept ("exact" by default), wait_seconds, positions ("contiguous" where the entry has its RoPE), ...

    Errors: those of Client.get; InvalidArgument (ROW_COUNTS_DIFFER, LAYOUT, PARTIAL, VERBATIM_CONTIGUOUS),
    Unimplemented (UNSUPPORTED_MODEL).
    """
    ids = tokens if isinstance(tokens, torch.Tensor) else torch.as_tensor(np.asarray(tokens))
    return load_batch(client, model, [ids.reshape(-1)], identity=identity, **options)


def load_batch(client: Client, model: Any, prompts: Sequence[Any], *, identity: ModelIdentity | None = None,
               spec: CompactionSpec | Sequence[CompactionSpec] | None = None, **options: Any) -> Served:
    """Loads one entry a prompt, as one batch, padded on the left.

    prompts: ids [L] each, of any lengths. spec: of all, or one each. The rest as load has it.

    Errors: as load; InvalidArgument (ROWS_BEHIND_WINDOW) where a sliding window reaches further back than the shorter
    of two compact rows: then give all the same max_tokens, or load them one by one.
    """
    if options.keys() & {"layers", "tokens_range", "key"}:
        raise InvalidArgument("PARTIAL", "a model goes on from whole entries, named by their tokens")
    geometry, model_identity = geometry_of(model), identity or identity_of(model)
    specs = list(spec) if isinstance(spec, Sequence) else [spec] * len(prompts)
    if not prompts or len(specs) != len(prompts):
        raise InvalidArgument("BATCH", f"{len(prompts)} prompts, {len(specs)} specs")
    ids = [torch.as_tensor(prompt).reshape(-1).cpu() for prompt in prompts]
    entries = [client.get(model=model_identity, tokens=each.numpy(), spec=of_each, **options).as_torch()
               for each, of_each in zip(ids, specs)]
    return _Batch(model, geometry, ids, entries).served()


def generate(model: Any, served: Served, input_ids: Any, **options: Any) -> torch.Tensor:
    """model.generate on from a loaded cache. Returns the new tokens alone, [batch, new].

    input_ids: [batch, new], or [new] of a single prompt: what follows the prompt, at least one token: the first that
    the prefill gave. In later turns: all that has followed so far, with at least one token that the cache has not seen.
    options: of generate. For beams, or several sequences a prompt, a copy of the cache is repeated: served stays as it
    was, and the next turn computes what followed anew.

    Errors: Unimplemented (ASSISTED_DECODING): transformers 5.24 reads the whole prompt again there, whatever cache it is
    given, so that a compact one would silently give other tokens.
    """
    inputs = served.generate_inputs(input_ids)
    config = options.get("generation_config") or model.generation_config
    if options.get("assistant_model") is not None or (options.get("prompt_lookup_num_tokens")
                                                      or getattr(config, "prompt_lookup_num_tokens", None)):
        raise Unimplemented("ASSISTED_DECODING", "generate does not go on from a loaded cache with an assistant_model or "
                                                 "prompt_lookup_num_tokens")
    copies = max(options.get(name) or getattr(config, name, None) or 1
                 for name in ("num_beams", "num_return_sequences"))
    if copies > 1:
        cache = copy.deepcopy(served.cache)
        cache.batch_repeat_interleave(copies)
        inputs[served.cache_argument] = cache
    output = model.generate(**inputs, **options)
    sequences = output if isinstance(output, torch.Tensor) else output.sequences
    return sequences[:, inputs["input_ids"].shape[1]:]


class _Batch:
    """Entries as the rows of one cache. Its columns are those of the longest: hidden[row] tokens without rows, then
    padding up to the most rows, then the rows."""

    def __init__(self, model: Any, geometry: CacheGeometry, ids: list[torch.Tensor], entries: list[Entry]):
        self._model, self._geometry, self._ids, self._entries = model, geometry, ids, entries
        self._devices = layer_devices(model)
        self._rows = tuple(self._served_row(entry) for entry in entries)
        hidden = [row.next_position - row.row_count for row in self._rows]
        self._most_rows = max(row.row_count for row in self._rows)
        self._columns = max(hidden) + self._most_rows
        self._mask = torch.zeros(len(entries), self._columns, dtype=torch.long)
        for row, hidden_tokens, mask in zip(self._rows, hidden, self._mask):
            mask[self._columns - row.row_count:] = 1
            end = self._columns - self._most_rows
            mask[end - hidden_tokens:end] = 1
        self._check_windows()

    def served(self) -> Served:
        layers = DynamicCache(config=text_config(self._model)).layers
        cache = DynamicCache()
        cache.layers = [self._full(index) if window is None else self._sliding(index, layer)
                        for index, (window, layer) in enumerate(zip(self._geometry.windows, layers))]
        cache.layer_class_to_replicate = None
        device = self._model.get_input_embeddings().weight.device
        tokens = torch.zeros_like(self._mask)
        for row, mask, ids in zip(tokens, self._mask.bool(), self._ids):
            row[mask] = ids[len(ids) - int(mask.sum()):].long()
        return Served(cache, tokens.to(device), self._mask.to(device), self._rows,
                      cache_argument(decoder_of(self._model)))

    def _served_row(self, entry: Entry) -> ServedRow:
        windows = self._geometry.windows
        if [layer.tensors is None for layer in entry.layers] != [window is None for window in windows]:
            raise InvalidArgument("LAYOUT", "the entry's layers are not of the kinds that the model's are")
        if any(window is not None for window in windows) and entry.positions_served != "original":
            raise InvalidArgument("VERBATIM_CONTIGUOUS", "keys of sliding-window layers stay at original positions")
        counts = {len(layer.positions) for layer in entry.layers if layer.positions is not None}
        if len(counts) > 1:
            raise InvalidArgument("ROW_COUNTS_DIFFER", f"layers of the entry keep {sorted(counts)} rows: transformers "
                                                       "makes one mask for all layers")
        positions = tuple(None if layer.positions is None else layer.positions.numpy() for layer in entry.layers)
        header = EntryHeader(**{each.name: getattr(entry, each.name) for each in fields(EntryHeader)})
        return ServedRow(header, entry.next_position, counts.pop() if counts else entry.next_position, positions)

    def _check_windows(self) -> None:
        """A row's mask is shared by all layers: what pads its compact rows must not hide rows of a sliding window."""
        for size in {size for size in self._geometry.windows if size is not None}:
            for index, row in enumerate(self._rows):
                if row.row_count < min(self._most_rows, row.next_position, size - 1):
                    raise InvalidArgument("ROWS_BEHIND_WINDOW",
                                          f"prompt {index} has {row.row_count} rows beside {self._most_rows} of "
                                          f"another, and a sliding window of {size}: give all the same max_tokens, or "
                                          "load them one by one")

    def _full(self, index: int) -> DynamicLayer:
        keys = self._padded([entry.layers[index].k.transpose(0, 1) for entry in self._entries], self._most_rows)
        if self._geometry.is_latent:
            keys, values = keys.split([self._geometry.latent_size, keys.shape[-1] - self._geometry.latent_size], -1)
        else:
            values = self._padded([entry.layers[index].v.transpose(0, 1) for entry in self._entries], self._most_rows)
        keys, values = keys.to(self._devices[index]), values.to(self._devices[index])
        if self._columns == self._most_rows:
            moved = any(row.row_count < row.header.original_length for row in self._rows)
            return _filled(MovedLayer() if moved else DynamicLayer(), keys, values)
        positions = torch.full((len(self._rows), self._most_rows), -1)
        for row, target in zip(self._rows, positions):
            target[self._most_rows - row.row_count:] = torch.from_numpy(row.positions[index])
        return CompactLayer(keys, values, positions, self._columns)

    def _sliding(self, index: int, layer: Any) -> Any:
        rows = [_verbatim_rows(entry.layers[index].tensors or {}, self._model.dtype) for entry in self._entries]
        most = min(self._columns, layer.sliding_window - 1)
        keys, values = (self._padded([each[part] for each in rows], most).to(self._devices[index]) for part in (0, 1))
        layer.cumulative_length = self._columns
        return _filled(layer, keys, values)

    def _padded(self, rows: list[torch.Tensor], most: int) -> torch.Tensor:
        """[batch, heads, most, size] of [heads, rows, size] each; a view where there is but one."""
        if len(rows) == 1:
            return rows[0][None]
        padded = rows[0].new_zeros(len(rows), rows[0].shape[0], most, rows[0].shape[2])
        for target, source in zip(padded, rows):
            target[:, most - source.shape[1]:] = source
        return padded


def _filled(layer: Any, keys: torch.Tensor, values: torch.Tensor) -> Any:
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    return layer


def _verbatim_rows(tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """keys [heads, rows, D] and values [heads, rows, Dv], as put stores them. Errors: DataLoss (MALFORMED_ENTRY)."""
    try:
        heads, rows, key_size, value_size = tensors["shape"].view(torch.int64).tolist()
        return (tensors["keys"].view(dtype).view(heads, rows, key_size),
                tensors["values"].view(dtype).view(heads, rows, value_size))
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataLoss("MALFORMED_ENTRY", f"a sliding-window layer is not as chunkkv.hf stores it: {error}") from error
