"""Saves: rows of prefills on their way to the service, in threads that the engine never waits for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from .. import errors
from .._arrays import numpy_dtype
from .._begin import ScoreDeclaration
from ..layers import AttentionRun, Layer
from ..operations import Selector, only, raise_first
from .connection import Health, reason_of
from .counts import Counts
from .model import EngineModel
from .options import Options
from .plan import Save
from .row_memory import RowCopy, RowMemory


@dataclass(frozen=True)
class Rows:
    """Rows of a layer from first_token on. queries: those of its last tokens that go with them."""

    layer: int
    first_token: int
    keys: RowCopy
    values: RowCopy
    queries: RowCopy | None = None

    @property
    def region(self) -> Any:
        """That some of them lie in; None: none does."""
        return next((copy.region for copy in self._copies if copy.region is not None), None)

    def release(self) -> None:
        for copy in self._copies:
            copy.release()

    @property
    def _copies(self) -> list[RowCopy]:
        return [copy for copy in (self.keys, self.values, self.queries) if copy is not None]


class _Job:
    """One put: its rows in the order they were computed. Only one thread at a time works on it. lent: rows that were sent
    by naming where they lie. window: queries of each layer that came so far."""

    def __init__(self, save: Save, layer_count: int):
        self.save = save
        self.calls = ExitStack()  # the session is left with it
        self.session: Any = None
        self.started = time.monotonic()
        self.rows: deque[Rows] = deque()
        self.lent: list[Rows] = []
        self.window: dict[int, list[torch.Tensor]] = {}
        self.missing = (save.end - save.begin) * layer_count
        self.is_working = False
        self.is_over = False


class Saver:
    """begin, then rows as they are computed; the put is committed when all have come. What goes wrong ends the one put,
    and is counted."""

    def __init__(self, client: Any, model: EngineModel, options: Options, counts: Counts,
                 memory: RowMemory, scored_layout: Callable[[], list[AttentionRun]]):
        """scored_layout: the rows' layout with what the layers attend with, where the service chooses among them."""
        self._client, self._model, self._options, self._counts = client, model, options, counts
        self._memory, self._scored_layout = memory, scored_layout
        self._health = Health()
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._threads = ThreadPoolExecutor(options.threads, thread_name_prefix="chunkkv-save")
        self._cancelling = ThreadPoolExecutor(1, thread_name_prefix="chunkkv-cancel")

    def begin(self, save: Save) -> None:
        if not self._health.is_well:
            self._counts.fail("save", "PAUSED")
            return
        with self._lock:
            self._jobs[save.request_id] = _Job(save, len(self._model.layer_names))

    def is_saving(self, request_id: str) -> bool:
        return request_id in self._jobs

    def add(self, request_id: str, rows: Rows) -> None:
        """Each row of each layer once, and of a layer in order."""
        with self._lock:
            job = self._jobs.get(request_id)
            if job is None:
                rows.release()
                return
            job.rows.append(rows)
            job.missing -= rows.keys.row_count
            if not job.is_working:
                job.is_working = True
                self._threads.submit(self._drain, job)

    def end(self, request_id: str, reason: str) -> None:
        """No more rows of a request come."""
        with self._lock:
            job = self._jobs.get(request_id)
            if job is not None and job.missing:
                self._end(job, reason)

    def wait_until_idle(self, timeout: float) -> None:
        """Until all that was added has been saved, or given up, or that time has passed. No more rows come."""
        with self._lock:
            for job in tuple(self._jobs.values()):
                if job.missing:
                    self._end(job, "SHUTDOWN")
        deadline = time.monotonic() + timeout
        while self._jobs and time.monotonic() < deadline:
            time.sleep(0.01)

    def close(self) -> None:
        """Gives up what is not saved yet."""
        with self._lock:
            for job in tuple(self._jobs.values()):
                self._end(job, "SHUTDOWN")
        self._cancelling.shutdown(wait=True)
        self._threads.shutdown(wait=True)

    def _drain(self, job: _Job) -> None:
        while True:
            with self._lock:
                if not job.is_over and not job.rows:
                    job.is_working = False
                    return
                rows = None if job.is_over else job.rows.popleft()
                is_last = not job.missing and not job.rows
            if rows is None:
                self._dispose(job)
                return
            failure: Exception | None = None
            try:
                self._send(job, rows)
                if is_last and not job.is_over:
                    self._commit(job)
            except Exception as error:  # whatever it is, the engine goes on without this save
                failure = error
            if rows.region is not None:
                job.lent.append(rows)
            else:
                rows.release()
            if failure is not None:
                if job.lent:
                    self._memory.note(failure, job.lent[-1].region)
                with self._lock:
                    self._health.note(failure)
                    self._end(job, reason_of(failure))

    def _dispose(self, job: _Job) -> None:
        """Gives back what a put that is over holds, once the service touches it no more."""
        try:
            job.calls.close()
        except Exception as failure:  # it may read the rows still, for a put that is given up
            if job.lent:
                self._memory.note(failure, job.lent[-1].region)
        finally:
            for rows in (*job.lent, *job.rows):
                rows.release()
            job.lent.clear()
            job.rows.clear()

    def _send(self, job: _Job, rows: Rows) -> None:
        save = job.save
        if job.session is None:
            self._memory.share()
            job.session = self._begin_put(job)
        if job.session.already_stored:
            self._counts.add("saves_already_stored", 1)
            with self._lock:
                self._finish(job)
            return
        queries = None
        if rows.queries is not None:
            window = job.window.setdefault(rows.layer, [])
            window.append(rows.queries.tensor)
            if rows.first_token + rows.keys.row_count == save.end:
                queries = torch.cat(window)
        job.session.send_tokens(rows.layer, rows.first_token - save.begin,
                                Layer(k=rows.keys.tensor, v=rows.values.tensor, queries=queries))

    def _begin_put(self, job: _Job) -> Any:
        session = job.calls.enter_context(self._open(job.save))
        if session.already_stored and self._removes_shorter(job.save):
            session = job.calls.enter_context(self._open(job.save))
        return session

    def _removes_shorter(self, save: Save) -> bool:
        """Removes what is stored under the same name, where it begins later in the prompt: what came before it is gone, or
        a lookup had found both. Whether it did."""
        def selector(entry_id: bytes | None = None) -> Selector:
            return Selector(self._model.identity, key=save.key, shard=self._model.shard, spec=save.spec,
                            if_entry_id=entry_id, routing_key=save.routing)

        timeout = self._options.lookup_timeout
        try:
            stored = only(self._client.describe_many([selector()], timeout=timeout))
            if stored.original_length >= save.end - save.begin:
                return False
            raise_first(self._client.delete_many([selector(stored.entry_id)], timeout=timeout))
        except errors.NotFound:
            pass  # it has gone by itself
        return True

    def _open(self, save: Save) -> Any:
        is_scored, is_whole = save.queries_from < save.end, save.spec.policy == "full"
        return self._client.open_put(
            model=self._model.identity, shard=self._model.shard, key=save.key, spec=save.spec,
            token_count=save.end - save.begin, layout=self._model.layout() if is_whole else self._scored_layout(),
            scores=ScoreDeclaration("queries", numpy_dtype(self._model.dtype)) if is_scored else None, any_order=True,
            routing_key=save.routing, ttl_seconds=self._options.ttl_seconds or None, timeout=self._options.save_timeout)

    def _commit(self, job: _Job) -> None:
        result = job.session.commit()
        self._health.note(None)
        self._counts.observe("save", time.monotonic() - job.started)
        if not result.already_stored:
            self._counts.add("saved_tokens", job.save.end - job.save.begin)
            self._counts.add("saved_bytes", result.stored_bytes)
        with self._lock:
            self._finish(job)

    def _end(self, job: _Job, reason: str) -> None:
        if job.is_over:
            return
        self._counts.fail("save", reason)
        self._finish(job)
        if job.session is not None and job.is_working:
            self._cancelling.submit(job.session.cancel)  # who works on it may be waiting for the service

    def _finish(self, job: _Job) -> None:
        job.is_over = True
        del self._jobs[job.save.request_id]
        if not job.is_working:
            job.is_working = True
            self._threads.submit(self._drain, job)
