"""Loads: rows from the service into blocks of the engine's cache, in threads, layer by layer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from .. import errors
from ..spec import EXACT
from .capture import slots_of
from .connection import reason_of
from .counts import Counts
from .mapping import Mapping
from .model import EngineModel
from .options import Options
from .plan import Awaited, Load, Segment
from .row_memory import RowMemory

_GRACE_SECONDS = 0.2
_MOST_WAITING = 64  # loads of what other engines have not stored yet, which wait in the service


@dataclass
class LoadsEnded:
    """requests: whose loads have ended. failed: those among them whose rows nothing can compute. blocks: of the others,
    those that have to be computed after all."""

    requests: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    blocks: set[int] = field(default_factory=set)


class _Running:
    """A load on its way. end: of the tokens that were written, in order. Nothing is written once it is over."""

    def __init__(self, load: Load, deadline: float):
        self.load, self.deadline, self.end = load, deadline, load.begin
        self.started = time.monotonic()
        self.lock = threading.Lock()
        self.is_over = False


class Loader:
    """layers: the engine's attention layers, by name. The backend itself writes to its cache: it knows how."""

    def __init__(self, client: Any, model: EngineModel, options: Options, counts: Counts, layers: dict[str, Any],
                 memory: RowMemory):
        self._client, self._model, self._options, self._counts = client, model, options, counts
        self._layers, self._memory = [layers[name] for name in model.layer_names], memory
        self._fingerprint = model.identity.fingerprint()
        self._mapping = Mapping(client, options.local_socket)
        self._lock = threading.Lock()
        self._running: set[_Running] = set()
        self._ended = LoadsEnded()
        self._writing = threading.Semaphore(options.threads)  # each has the backend's own threads
        self._threads = ThreadPoolExecutor(options.threads, thread_name_prefix="chunkkv-load")
        self._waiting_threads = ThreadPoolExecutor(_MOST_WAITING, thread_name_prefix="chunkkv-wait")

    def start(self, load: Load) -> None:
        threads, timeout = self._threads, self._options.load_timeout
        if load.awaited is not None:
            threads, timeout = self._waiting_threads, self._options.wait_timeout + self._options.load_timeout
        running = _Running(load, time.monotonic() + timeout)
        with self._lock:
            self._running.add(running)
        threads.submit(self._load, running)

    def take_finished(self) -> LoadsEnded:
        """Of the loads since it was asked last. A load ends at its deadline, whatever its thread still waits for."""
        with self._lock:
            late = [running for running in self._running if time.monotonic() > running.deadline + _GRACE_SECONDS]
        for running in late:
            self._end(running, "LOAD_TIMEOUT")
        with self._lock:
            ended, self._ended = self._ended, LoadsEnded()
            return ended

    def abandon(self, request_ids: Iterable[str]) -> None:
        """The loads of these requests have failed, where they have not ended."""
        self._give_up("RESET", set(request_ids))

    def give_up(self) -> None:
        """All loads that have not ended have failed."""
        self._give_up("SHUTDOWN")

    def _give_up(self, reason: str, request_ids: set[str] | None = None) -> None:
        with self._lock:
            running = [each for each in self._running if request_ids is None or each.load.request_id in request_ids]
        for each in running:
            self._end(each, reason)

    def close(self) -> None:
        """After give_up, and once the client's calls have ended."""
        for threads in (self._threads, self._waiting_threads):
            threads.shutdown(wait=True, cancel_futures=True)

    def _load(self, running: _Running) -> None:
        load = running.load
        if running.is_over:
            return
        try:
            for segment in load.segments:
                self._load_segment(running, segment)
                running.end = segment.end
            if load.awaited is not None:
                self._load_awaited(running, load.awaited)
                running.end = load.awaited.end
            self._end(running)
        except Exception as failure:  # whatever it is, the engine goes on without these rows
            self._end(running, reason_of(failure))

    def _end(self, running: _Running, failure: str = "") -> None:
        with running.lock:
            if running.is_over:
                return
            running.is_over = True
        load = running.load
        if failure:
            self._counts.fail("load", failure)
        self._counts.observe("load", time.monotonic() - running.started)
        self._counts.add("loaded_tokens", running.end - load.begin)
        with self._lock:
            self._running.discard(running)
            self._ended.requests.add(load.request_id)
            if failure and load.is_compacted:
                self._ended.failed.add(load.request_id)
            elif failure:
                size = self._model.block_size
                self._ended.blocks.update(load.block_ids[running.end // size:-(-load.end // size)])

    def _load_segment(self, running: _Running, segment: Segment) -> None:
        rank = self._model.rank
        what = {"key": segment.keys[rank], "if_entry_id": segment.entry_ids[rank]}
        # The first get that names a lease ends it: that of several ranks ends by itself.
        lease_id = segment.lease_id if len(self._model.shards) == 1 else b""
        if self._mapping.is_there:
            entry = self._mapping.get(self._get_arguments(running) | what)
            if entry is not None:
                self._counts.add("mapped_entries", 1)
                self._write_layers(entry.layers, running, segment.begin, segment.end, segment.begin - segment.start,
                                   entry.original_length)
                if lease_id:
                    self._threads.submit(self._client.unpin, lease_id, timeout=self._options.lookup_timeout)
                return
        span = range(segment.begin - segment.start, segment.end - segment.start)
        with self._get(running, len(span), **what, accept="exact", lease_id=lease_id, tokens_range=span) as stream:
            self._write_layers(stream, running, segment.begin, segment.end, 0, segment.end - segment.begin)

    def _load_awaited(self, running: _Running, awaited: Awaited) -> None:
        is_whole = awaited.variant == EXACT
        with self._get(running, None if is_whole else awaited.entry_end, key=awaited.key,
                       accept="exact" if is_whole else awaited.variant,
                       positions="original" if is_whole else "contiguous",
                       wait_seconds=self._options.wait_timeout) as stream:
            first = awaited.entry_end - stream.header.original_length if is_whole else 0
            if first > awaited.begin:
                raise errors.DataLoss("GAP", f"the entry begins at token {first}, after {awaited.begin}")
            self._write_layers(stream, running, awaited.begin, awaited.end, awaited.begin - first,
                               awaited.entry_end - first)

    @contextmanager
    def _get(self, running: _Running, row_count: int | None, **what: Any) -> Iterator[Any]:
        """The layers as they come; where it is known how many rows they have, in memory that is lent to the service, if
        there is."""
        identity, shard = self._model.identity, self._model.shard
        shapes = [(row_count or 0, shard.kv_head_count, size)
                  for size in (identity.key_head_size, identity.value_head_size)] * shard.layer_count
        arguments = self._get_arguments(running)
        with self._memory.lent(shapes if row_count else (), self._model.dtype) as places:
            if places:
                names = [(layer, name) for layer in range(shard.layer_count) for name in ("k", "v")]
                what["into"] = dict(zip(names, places))
            with self._client.get_layers(**arguments, **what) as stream:
                yield stream
        if places:
            self._counts.add("lent_gets", 1)

    def _get_arguments(self, running: _Running) -> dict[str, Any]:
        left = running.deadline - time.monotonic()
        if left <= 0:
            raise errors.DeadlineExceeded("LOAD_TIMEOUT", "the load took longer than load_timeout")
        return {"model": self._fingerprint, "shard": self._model.shard, "routing_key": running.load.routing,
                "timeout": left}

    def _write_layers(self, layers: Iterable[Any], running: _Running, begin: int, end: int, first_row: int,
                      row_count: int) -> None:
        """Of the row_count rows that come, those from first_row on become tokens [begin, end)."""
        device = self._layers[0].kv_cache.device
        slots = torch.from_numpy(slots_of(running.load.block_ids, begin, end, self._model.block_size)).to(device)
        count = 0
        for layer in layers:
            rows = layer.as_torch()
            if len(rows.k) != row_count:
                raise errors.DataLoss("SHAPE", f"{len(rows.k)} rows, not {row_count}")
            span = slice(first_row, first_row + end - begin)
            with self._writing, running.lock:
                if running.is_over:
                    raise errors.DeadlineExceeded("LOAD_TIMEOUT", "the engine computes these tokens")
                started = time.monotonic()
                self._write(self._layers[layer.index], rows.k[span], rows.v[span], slots)
            self._counts.add("load_write_seconds", time.monotonic() - started)
            self._counts.add("loaded_bytes", layer.size_bytes)
            count += 1
        if count != len(self._layers):
            raise errors.DataLoss("INCOMPLETE_REPLY", f"{count} of {len(self._layers)} layers came")

    def _write(self, layer: Any, keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor) -> None:
        cache = layer.kv_cache
        if keys.shape != (len(slots), layer.num_kv_heads, layer.head_size) or keys.dtype != self._model.dtype:
            raise errors.DataLoss("SHAPE", f"rows of shape {tuple(keys.shape)} for {len(slots)} slots")
        with torch.cuda.device_of(cache):  # a kernel of Triton is launched on the thread's device
            layer.impl.do_kv_cache_update(layer, keys.to(cache.device), values.to(cache.device), cache, slots)
            if cache.device.type == "cuda":  # other streams use what was written, and what was read
                torch.cuda.current_stream(cache.device).synchronize()
