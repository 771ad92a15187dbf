"""The connector's numbers in vLLM's log and in its /metrics."""

from __future__ import annotations

from typing import Any

from vllm.distributed.kv_transfer.kv_connector.v1.metrics import KVConnectorPromMetrics, KVConnectorStats

COUNTERS = {
    "hit_tokens": "Prompt tokens that requests were to take from the service instead of computing them",
    "loaded_tokens": "Tokens that loads brought",
    "loaded_bytes": "Bytes that loads brought",
    "mapped_entries": "Entries that loads mapped instead of having them sent",
    "lent_gets": "Gets whose rows the service wrote to memory that is lent to it",
    "saved_tokens": "Tokens that saves stored",
    "saved_bytes": "Bytes that saves stored",
    "saves_already_stored": "Saves of what another request had stored meanwhile",
    "lookups": "Lookups that ended", "lookup_seconds": "Time in lookups",
    "loads": "Loads that ended", "load_seconds": "Time in loads",
    "load_write_seconds": "Of it, in writing rows to the engine's cache",
    "saves": "Saves that ended well", "save_seconds": "From a save's first rows to its commit",
}
"""Each is vllm:chunkkv_<name>_total; beside them vllm:chunkkv_failures_total by step and reason."""


class ChunkKVStats(KVConnectorStats):
    """Totals of an interval, by name."""

    def reset(self) -> None:
        self.data = {}

    def aggregate(self, other: KVConnectorStats) -> KVConnectorStats:
        for name, value in other.data.items():
            self.data[name] = self.data.get(name, 0) + value
        return self

    def reduce(self) -> dict[str, int | float]:
        return {name: round(value, 3) for name, value in sorted(self.data.items())}

    def is_empty(self) -> bool:
        return not self.data


class ChunkKVPromMetrics(KVConnectorPromMetrics):
    def __init__(self, vllm_config: Any, metric_types: Any, labelnames: list[str], per_engine_labelvalues: Any):
        super().__init__(vllm_config, metric_types, labelnames, per_engine_labelvalues)
        self._counters = {
            name: self._counter_cls(name=f"vllm:chunkkv_{name}", documentation=text, labelnames=labelnames)
            for name, text in COUNTERS.items()}
        for counter in self._counters.values():
            for labels in self.per_engine_labelvalues.values():
                counter.labels(*labels)  # there from the beginning, at 0
        self._failures = self._counter_cls(
            name="vllm:chunkkv_failures", documentation="Lookups, loads and saves that failed, by step and reason",
            labelnames=[*labelnames, "step", "reason"])

    def observe(self, transfer_stats_data: dict[str, Any], engine_idx: int = 0) -> None:
        labels = self.per_engine_labelvalues[engine_idx]
        for name, value in transfer_stats_data.items():
            if name.startswith("failures:"):
                self._failures.labels(*labels, *name.split(":", 2)[1:]).inc(value)
            elif name in self._counters:
                self._counters[name].labels(*labels).inc(value)
