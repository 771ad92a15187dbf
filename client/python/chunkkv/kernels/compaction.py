"""A whole request: all layers scored, selected and gathered where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._arrays import as_array
from ..errors import FailedPrecondition, InvalidArgument
from ..layers import AttentionRun, Layer, Rope
from ..spec import CompactionSpec, ReuseGroup
from . import _memory, device, tasks
from . import rows as _rows
from .device import Device
from .planning import Plan, plan

_ROWS = ("k", "v", "k_scale", "v_scale")
_SOURCES = {"queries": "query_window", "attention": "attention", "token_scores": "token_scores"}
_SCORED_POLICIES = ("chunk_kv", "snap_kv", "h2o")


@dataclass(frozen=True, eq=False)
class KvLayer:
    """An attention layer where it is: NumPy arrays or torch tensors, on the CPU or a CUDA device, or an engine's pages.

    k [L, Hkv, D], RoPE applied, and v [L, Hkv, Dv] or None; k_scale and v_scale [L, Hkv, scales a head] (fp8 keys are
    scored where k_scale is float32 and one a head); each of any
    strides but the last (pass [Hkv, L, D] transposed), or PagedRows. Of layers that take part in a choice: queries
    [>= w, H, D] of the last tokens, RoPE applied, with or without lse [>= w, H]; or attention [H, >= w, L]; or
    token_scores [L - w]. The rest as in chunkkv.Layer. dtype: what raw bits (uint16, uint8) of k and v are.
    """

    k: _rows.Rows
    v: _rows.Rows = None
    queries: Any = None
    attention: Any = None
    token_scores: Any = None
    lse: Any = None
    k_scale: _rows.Rows = None
    v_scale: _rows.Rows = None
    scale: float | None = None
    softcap: float | None = None
    sink_logits: Any = None
    rope: Rope | None = None
    query_head_count: int | None = None
    dtype: str | None = None


@dataclass(frozen=True, eq=False)
class KeptLayer:
    """Kept rows of a layer, dense [kept, Hkv, ...], of the kind and in the memory that they came from."""

    k: Any
    v: Any
    k_scale: Any
    v_scale: Any
    positions: Any  # int32 [kept]; of the layer's group


@dataclass(frozen=True, eq=False)
class Compacted:
    """What was kept.

    groups, and of each its kept positions, int32 [budget]. retained_mass: of each of scored_layers. policy_applied:
    the spec's, or "full" where on_low_mass kept everything. keys_contiguous: keys were turned to 0 .. budget - 1.
    """

    token_count: int
    budget: int
    budget_changes: tuple[str, ...]
    policy_applied: str
    groups: tuple[ReuseGroup, ...]
    positions: tuple[Any, ...]
    scored_layers: tuple[int, ...]
    retained_mass: tuple[float, ...]
    layers: tuple[KeptLayer, ...]
    keys_contiguous: bool
    _sources: tuple[Any, ...]

    def put_arguments(self, label: str) -> dict[str, Any]:
        """Arguments that store this with policy external: client.put(model=..., tokens=..., **these). label names the
        method, as variants of a prompt are told apart by it."""
        groups = [replace(group, leader=None) for group in self.groups]
        arguments: dict[str, Any] = {
            "layers": [self._put_layer(kept, source) for kept, source in zip(self.layers, self._sources)],
            "spec": CompactionSpec(policy="external", label=label, groups=groups),
            "positions": [as_array(positions) for positions in self.positions],
            "token_count": self.token_count}
        if self.keys_contiguous:
            arguments.update(keys_contiguous=True, next_position=self.budget)
        return arguments

    @staticmethod
    def _put_layer(kept: KeptLayer, source: Any) -> Layer:
        def rows(value: Any) -> Any:
            if value is None:
                return None
            return _memory.typed(as_array(value), getattr(source, "dtype", None))

        return Layer(k=rows(kept.k), v=rows(kept.v), k_scale=rows(kept.k_scale), v_scale=rows(kept.v_scale),
                     scale=source.scale, softcap=source.softcap, sink_logits=source.sink_logits, rope=source.rope,
                     query_head_count=_query_heads(source))


def compact(layers: Sequence[KvLayer | Layer], spec: CompactionSpec, *, contiguous: bool = False, sharded: bool = False,
            on: Device = Device()) -> Compacted:
    """Compacts a prompt as the server would, guardrail included; all tensors are in one memory.

    contiguous: keys are re-rotated to 0 .. budget - 1; every layer needs its rope. sharded: tensor or pipeline
    parallel.

    Errors: InvalidArgument with a reason that names the field, NON_FINITE_INPUT, NEGATIVE_SCORES, MIXED_DEVICES,
    NO_ROPE; FailedPrecondition (LOW_RETAINED_MASS); Unimplemented (SCORING_FP8).
    """
    if spec.policy == "external":
        raise InvalidArgument("BAD_POLICY", "policy external has nothing to choose; its positions are the caller's")
    if not layers:
        raise InvalidArgument("BAD_LAYER_COUNT", "no layers")
    if contiguous and any(layer.rope is None for layer in layers):
        raise InvalidArgument("NO_ROPE", "contiguous positions need the rope of every layer")
    return _Request(layers, spec, contiguous, sharded, on).run()


class _Request:
    def __init__(self, layers: Sequence[KvLayer | Layer], spec: CompactionSpec, contiguous: bool, sharded: bool,
                 on: Device):
        self._layers, self._spec, self._contiguous, self._on = layers, spec, contiguous, on
        self._place = _memory.place_of(*(_rows.memory_of(getattr(layer, name)) for layer in layers
                                         for name in (*_ROWS, "queries", "attention")))
        self._plan = _plan_of(layers, spec, sharded)
        self._keep: list[Any] = []
        self._scores = {index: self._place.zeros((self._plan.past_length,), "float32")
                        for index in range(len(layers)) if self._plan.needs_scores and self._plan.is_scored(index)}

    def run(self) -> Compacted:
        budget = self._plan.budget
        scores = [] if self._plan.keeps_everything else self._score_tasks()
        self._allocate_lists(budget)
        if self._spec.min_retained_mass is None:
            kept, copies = self._copy_tasks()
            self._run([*scores, *self._select_tasks(budget), *copies])
            return self._result(kept, budget, self._spec.policy)
        self._run([*scores, *self._select_tasks(budget)])
        budget, applied = self._meet_guardrail(budget)
        kept, copies = self._copy_tasks()
        self._run(copies)
        return self._result(kept, budget, applied)

    def _run(self, batch: list[Any]) -> None:
        device.run(batch, self._plan.handle, self._place, self._on)

    def _score_tasks(self) -> list[Any]:
        return [tasks.score(self._plan, index, self._layers[index], scores, self._place, self._keep,
                            getattr(self._layers[index], "dtype", None), self._plan.allows_chunk_means)
                for index, scores in self._scores.items()]

    def _allocate_lists(self, budget: int) -> None:
        self._chosen_by = [[index for index in range(group.first_layer, group.first_layer + group.layer_count)
                            if index in self._scores] for group in self._plan.groups]
        self._masses = [self._place.zeros((len(chosen_by),), "float64") for chosen_by in self._chosen_by]
        self._positions = [self._place.zeros((budget,), "int32") for _ in self._plan.groups]

    def _select_tasks(self, budget: int) -> list[Any]:
        return [tasks.select(index, budget, [self._scores[layer] for layer in chosen_by], self._positions[index],
                             self._masses[index], self._keep) for index, chosen_by in enumerate(self._chosen_by)]

    def _select_again(self, budget: int) -> None:
        self._allocate_lists(budget)
        self._run(self._select_tasks(budget))

    def _meet_guardrail(self, budget: int) -> tuple[int, str]:
        """The budget that meets min_retained_mass, and the policy that was applied."""
        least = self._spec.min_retained_mass or 0.0
        while self._least_mass() < least and self._spec.on_low_mass == "raise_budget":
            raised = self._plan.raised_budget(budget)
            if raised <= budget:
                break
            budget = raised
            self._select_again(budget)
        if self._least_mass() >= least:
            return budget, self._spec.policy
        if self._spec.on_low_mass == "keep_full":
            self._select_again(self._plan.token_count)
            return self._plan.token_count, "full"
        masses = " ".join(f"{layer}={mass:.6g}" for layer, mass in zip(self._scored(), self._all_masses()))
        raise FailedPrecondition("LOW_RETAINED_MASS", f"min_retained_mass {least} is not met at a budget of {budget} "
                                                      f"tokens; retained mass of layers {masses}"[:900])

    def _scored(self) -> tuple[int, ...]:
        return tuple(layer for chosen_by in self._chosen_by for layer in chosen_by)

    def _all_masses(self) -> tuple[float, ...]:
        return tuple(mass for masses in self._masses for mass in masses.tolist())

    def _least_mass(self) -> float:
        return min(self._all_masses(), default=1.0)

    def _copy_tasks(self) -> tuple[list[KeptLayer], list[Any]]:
        kept: list[KeptLayer] = []
        batch: list[Any] = []
        for group, positions in zip(self._plan.groups, self._positions):
            for index in range(group.first_layer, group.first_layer + group.layer_count):
                layer: Any = self._layers[index]
                tensors = {name: self._gather(layer, name, positions, batch) for name in _ROWS}
                if self._contiguous:
                    batch.append(tasks.rotate(tensors["k"], positions, layer.rope, tensors["k"], self._place,
                                              self._keep, getattr(layer, "dtype", None)))
                kept.append(KeptLayer(positions=positions, **tensors))
        return kept, batch

    def _gather(self, layer: Any, name: str, positions: Any, batch: list[Any]) -> Any:
        rows = getattr(layer, name)
        if rows is None:
            return None
        tokens, heads, size = _rows.shape_of(rows, name)
        if tokens != self._plan.token_count:
            raise InvalidArgument("TOKEN_COUNT", f"{name} has {tokens} tokens, the first layer's k has "
                                                 f"{self._plan.token_count}")
        out = _memory.empty((len(positions), heads, size), _rows.memory_of(rows))
        batch.append(tasks.gather(rows, positions, out, self._place, self._keep, getattr(layer, "dtype", None), name))
        return out

    def _result(self, kept: list[KeptLayer], budget: int, applied: str) -> Compacted:
        return Compacted(
            token_count=self._plan.token_count, budget=budget, budget_changes=self._plan.budget_changes,
            policy_applied=applied, groups=self._plan.groups, positions=tuple(self._positions),
            scored_layers=self._scored(), retained_mass=self._all_masses(), layers=tuple(kept),
            keys_contiguous=self._contiguous, _sources=tuple(self._layers))


def _plan_of(layers: Sequence[KvLayer | Layer], spec: CompactionSpec, sharded: bool) -> Plan:
    token_count, _, _ = _rows.shape_of(layers[0].k, "k")
    runs = [_run_of(layer) for layer in layers]
    if spec.policy not in _SCORED_POLICIES:
        return plan(spec, token_count, runs, sharded=sharded)
    # Which layers are scored is the plan's to say, so it is made once for any source and then for the one they have.
    draft = plan(spec, token_count, runs, score_source="token_scores", sharded=sharded)
    sources = {_source_of(layer) for index, layer in enumerate(layers) if draft.is_scored(index)}
    if len(sources) > 1:
        raise InvalidArgument("SCORE_SOURCES", "the scored layers differ in score source, or in lse")
    source, lse = sources.pop()
    return plan(spec, token_count, runs, score_source=source, lse=lse, sharded=sharded)


def _source_of(layer: KvLayer | Layer) -> tuple[str | None, bool]:
    given = [name for name in _SOURCES if getattr(layer, name) is not None]
    if len(given) > 1:
        raise InvalidArgument("SCORE_SOURCES", "give one of queries, attention and token_scores")
    return (_SOURCES[given[0]], given == ["queries"] and layer.lse is not None) if given else (None, False)


def _query_heads(layer: Any) -> int | None:
    if layer.query_head_count is not None:
        return int(layer.query_head_count)
    if layer.queries is not None:
        return int(layer.queries.shape[1])
    return None if layer.attention is None else int(layer.attention.shape[0])


def _run_of(layer: KvLayer | Layer) -> AttentionRun:
    _, heads, size = _rows.shape_of(layer.k, "k")
    value_size = 0 if layer.v is None else _rows.shape_of(layer.v, "v")[2]
    dtype = _memory.element_dtype(_rows.memory_of(layer.k), getattr(layer, "dtype", None), "k")
    scales = 0 if layer.k_scale is None else _rows.shape_of(layer.k_scale, "k_scale")[2]
    scale_dtype = None if layer.k_scale is None else _rows.memory_of(layer.k_scale).dtype
    return AttentionRun(layer_count=1, kv_head_count=heads, key_head_size=size, value_head_size=value_size, dtype=dtype,
                        query_head_count=_query_heads(layer) or 0, scales_per_head=scales, scale_dtype=scale_dtype,
                        scale=layer.scale, softcap=layer.softcap,
                        sink_logits=layer.sink_logits)
