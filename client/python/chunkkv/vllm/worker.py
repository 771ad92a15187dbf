"""The connector in a worker: carries out what the scheduler's part has planned."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch

from .. import errors
from ..layers import AttentionRun
from .capture import AttentionInputs, rows_in_batch
from .connection import connect
from .counts import Counts
from .loader import Loader, LoadsEnded
from .model import EngineModel
from .options import Options
from .plan import SavedRows, StepPlan
from .row_memory import RowMemory
from .rotation import rope_of_engine
from .saver import Rows, Saver

_LAST_SAVES_SECONDS = 5.0  # an engine that ends waits for what is on its way


class WorkerSide:
    def __init__(self, config: Any, model: EngineModel, options: Options):
        self._config, self._model, self._options = config, model, options
        self.counts = Counts()
        self._client = connect(options)
        self._memory = RowMemory(self._client, options.save_buffer_bytes, options.local_socket, _gpu_buffer(options))
        self._saver = Saver(self._client, model, options, self.counts, self._memory, self._scored_layout)
        self._layers: dict[str, Any] = {}
        self._loader: Loader | None = None
        self._inputs: AttentionInputs | None = None
        self._index_of = {name: index for index, name in enumerate(model.layer_names)}
        self._rows: list[SavedRows] = []
        self._places: dict[str, int] | None = None  # of this step's rows; None: not looked for yet
        self._progress: dict[str, int] = {}  # next token to be saved
        self._queries_from: dict[str, int] = {}

    def register(self, kv_caches: Any) -> None:
        """The engine's layers have their caches."""
        every = self._config.compilation_config.static_forward_context
        self._layers = {name: every[name] for name in self._model.layer_names}
        self._inputs = AttentionInputs(self._layers, lambda: bool(self._rows))
        self._loader = Loader(self._client, self._model, self._options, self.counts, self._layers, self._memory)

    def bind(self, plan: StepPlan) -> None:
        """A step begins."""
        for save in plan.saves:
            self._saver.begin(save)
            self._progress[save.request_id] = save.begin
            self._queries_from[save.request_id] = save.queries_from
        self._rows, self._places = [], None
        for rows in plan.rows:
            if not self._saver.is_saving(rows.request_id):
                continue
            if rows.begin > self._progress[rows.request_id]:
                self._saver.end(rows.request_id, "ROWS_SKIPPED")  # they came from elsewhere after a preemption
            elif rows.end > self._progress[rows.request_id]:
                self._rows.append(rows)

    def start_loads(self, plan: StepPlan) -> None:
        assert self._loader is not None
        for load in plan.loads:
            self._loader.start(load)
        if plan.abandoned:
            self._loader.abandon(plan.abandoned)

    def save_layer(self, layer_name: str, attention: Any) -> None:
        """A layer has run: its rows that are saved are copied."""
        if not self._rows or self._inputs is None:
            return
        inputs = self._inputs.take(layer_name)
        index = self._index_of.get(layer_name)
        if inputs is None or index is None:
            return
        queries, keys, values = inputs
        if self._places is None:
            slots = attention.slot_mapping.cpu().numpy().astype(np.int64)
            self._places = rows_in_batch(slots, self._rows, self._model.block_size)
        for rows in self._rows:
            place = self._places.get(rows.request_id)
            if place is None:
                self._saver.end(rows.request_id, "ROWS_NOT_FOUND")
                continue
            begin = self._progress[rows.request_id]
            span = slice(place + begin - rows.begin, place + rows.end - rows.begin)
            window = slice(max(span.start, place + self._queries_from[rows.request_id] - rows.begin), span.stop)
            tensors = [keys[span], values[span]] + ([queries[window]] if window.start < window.stop else [])
            copies = self._memory.copy_all(tensors)
            if copies is None:
                self._saver.end(rows.request_id, "BUFFER_FULL")
                continue
            self._saver.add(rows.request_id, Rows(index, begin, *copies))

    def end_step(self, plan: StepPlan) -> None:
        for rows in self._rows:
            self._progress[rows.request_id] = rows.end
        self._rows = []
        for request_id in plan.ended:
            self._saver.end(request_id, "REQUEST_ENDED")
            self._progress.pop(request_id, None)
            self._queries_from.pop(request_id, None)

    def take_finished(self) -> LoadsEnded:
        return self._loader.take_finished() if self._loader is not None else LoadsEnded()

    def _scored_layout(self) -> list[AttentionRun]:
        return self._model.layout(tuple(self._layers.values()), rope_of_engine())

    def close(self) -> None:
        self._saver.wait_until_idle(min(self._options.save_timeout, _LAST_SAVES_SECONDS))
        if self._loader is not None:
            self._loader.give_up()
        with contextlib.suppress(errors.Error):  # of a service that does not answer any more
            self._client.close()  # ends what still waits for it
        self._saver.close()
        if self._loader is not None:
            self._loader.close()


def _gpu_buffer(options: Options) -> torch.Tensor | None:
    if not options.gpu_buffer_bytes:
        return None
    if not torch.cuda.is_available():
        raise errors.InvalidArgument("OPTION", "gpu_buffer_bytes is of a CUDA device, and there is none")
    return torch.empty(options.gpu_buffer_bytes, dtype=torch.uint8, device="cuda")
