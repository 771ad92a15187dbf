"""vLLM's interface of connectors, on both sides of it."""

from __future__ import annotations

from typing import Any

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorRole,
    KVConnectorTransferResults,
)
from vllm.v1.metrics.cache_hit_source import CacheHitSource

from .model import engine_model
from .options import Options
from .plan import StepPlan
from .scheduler import SchedulerSide
from .stats import ChunkKVPromMetrics, ChunkKVStats
from .worker import WorkerSide


class ChunkKVConnector(KVConnectorBase_V1):
    """Prefixes of prompts from a ChunkKV service, and to it. Tested with vLLM 0.32."""

    _cache_hit_source = CacheHitSource.P2P

    def __init__(self, vllm_config: Any, role: KVConnectorRole, kv_cache_config: Any):
        """Errors: InvalidArgument (OPTION, MODEL_REVISION), Unimplemented (UNSUPPORTED_MODEL)."""
        super().__init__(vllm_config, role, kv_cache_config)
        options = Options.of(self._kv_transfer_config.kv_connector_extra_config)
        # What cannot be loaded is computed: vLLM's default fails the request. Its scheduler reads this after it has
        # made the connector.
        self._kv_transfer_config.kv_load_failure_policy = "recompute"
        model = engine_model(vllm_config, kv_cache_config, options)
        self._scheduler = SchedulerSide(vllm_config, model, options) if role == KVConnectorRole.SCHEDULER else None
        self._worker = WorkerSide(vllm_config, model, options) if role == KVConnectorRole.WORKER else None
        self._external_from: dict[str, int] = {}
        self._invalid_blocks: set[int] = set()

    @property
    def requires_kv_delivery(self) -> bool:
        return False  # a save that is lost is a miss

    # In the scheduler.

    def on_new_request(self, request: Any) -> None:
        self._on_scheduler.on_new_request(request)

    def get_num_new_matched_tokens(self, request: Any, num_computed_tokens: int) -> tuple[int | None, bool]:
        count = self._on_scheduler.matched_tokens(request, num_computed_tokens)
        self._external_from[request.request_id] = num_computed_tokens
        return count, bool(count)

    def update_state_after_alloc(self, request: Any, blocks: Any, num_external_tokens: int) -> None:
        computed = self._external_from.pop(request.request_id, 0)
        (block_ids,) = blocks.get_block_ids()
        self._on_scheduler.allocated(request, block_ids, computed, num_external_tokens)

    def build_connector_meta(self, scheduler_output: Any) -> StepPlan:
        return self._on_scheduler.plan(scheduler_output)

    def request_finished(self, request: Any, block_ids: list[int]) -> tuple[bool, dict[str, Any] | None]:
        self._external_from.pop(request.request_id, None)
        return False, self._on_scheduler.finished(request)

    def reset_cache(self) -> bool:
        self._on_scheduler.forget()
        return True

    # In a worker.

    def register_kv_caches(self, kv_caches: dict[str, Any]) -> None:
        self._on_worker.register(kv_caches)

    def bind_connector_metadata(self, connector_metadata: Any) -> None:
        super().bind_connector_metadata(connector_metadata)
        self._on_worker.bind(connector_metadata)

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        self._on_worker.start_loads(self._get_connector_metadata())

    def wait_for_layer_load(self, layer_name: str) -> None:
        pass  # loads are asynchronous: what a step reads has been loaded before it

    def save_kv_layer(self, layer_name: str, kv_layer: Any, attn_metadata: Any, **kwargs: Any) -> None:
        self._on_worker.save_layer(layer_name, attn_metadata)

    def wait_for_save(self) -> None:
        self._on_worker.end_step(self._get_connector_metadata())

    def get_transfer_results(self, finished_req_ids: set[str]) -> KVConnectorTransferResults:
        ended = self._on_worker.take_finished()
        self._invalid_blocks |= ended.blocks
        return KVConnectorTransferResults(finished_recving=ended.requests, failed_recving=ended.failed)

    def get_block_ids_with_load_errors(self) -> set[int]:
        invalid, self._invalid_blocks = self._invalid_blocks, set()
        return invalid

    # In either.

    def get_kv_connector_stats(self) -> ChunkKVStats | None:
        side = self._scheduler or self._worker
        totals = side.counts.take() if side is not None else {}
        return ChunkKVStats(totals) if totals else None

    def shutdown(self) -> None:
        side = self._scheduler or self._worker
        if side is not None:
            side.close()

    @property
    def _on_scheduler(self) -> SchedulerSide:
        assert self._scheduler is not None
        return self._scheduler

    @property
    def _on_worker(self) -> WorkerSide:
        assert self._worker is not None
        return self._worker

    # Of the class.

    @classmethod
    def requires_piecewise_for_cudagraph(cls, extra_config: dict[str, Any]) -> bool:
        return True  # attention layers are called from Python, where their rows are seen

    @classmethod
    def build_kv_connector_stats(cls, data: dict[str, Any] | None = None) -> ChunkKVStats:
        return ChunkKVStats(data or {})

    @classmethod
    def build_prom_metrics(cls, vllm_config: Any, metric_types: Any, labelnames: list[str],
                           per_engine_labelvalues: dict[int, list[object]]) -> ChunkKVPromMetrics:
        return ChunkKVPromMetrics(vllm_config, metric_types, labelnames, per_engine_labelvalues)
