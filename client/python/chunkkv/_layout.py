"""Walking a layout: LayerRun messages in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def layer_count(layout: Sequence[Any]) -> int:
    return sum(int(run.layer_count) for run in layout)


def attention_layer_count(layout: Sequence[Any]) -> int:
    return attention_index(layout, layer_count(layout))


def run_of(layout: Sequence[Any], layer: int) -> Any:
    """The run that holds `layer`, which must exist."""
    return next(run for run in layout if layer < run.first_layer + run.layer_count)


def attention_index(layout: Sequence[Any], layer: int) -> int:
    """How many attention layers come before `layer`: its own index among them."""
    return sum(int(min(run.layer_count, max(0, layer - run.first_layer)))
               for run in layout if run.HasField("attention"))
