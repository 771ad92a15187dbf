"""The trial's result as JSON."""

import dataclasses
import platform

import torch
import transformers

from decode_figures import Figure, Limit, changes, figures_of, parts
from decode_trial import Prefill, Sample
from decode_variants import IN_PROCESS, SERVED_FULL

CLAIMED = ("step_ms", "tokens_per_second", "total_seconds")
"""Figures that a report cannot do without."""


def result_of(model, prompt: Prefill, samples: dict[str, list[Sample]], settings: dict, limit: Limit,
              memory_bytes: int) -> dict:
    """All that was measured and what follows from it. refused: figures whose repeats spread too far; their medians, and
    what would follow from them, are None."""
    figures = {name: figures_of(each, prompt.seconds, name != IN_PROCESS) for name, each in samples.items()}
    return {
        "settings": settings,
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads(),
                    "device": torch.cuda.get_device_name() if model.device.type == "cuda" else "cpu",
                    "torch": torch.__version__, "transformers": transformers.__version__},
        "model": {"parameters": sum(weights.numel() for weights in model.parameters()),
                  "bytes": sum(weights.nbytes for weights in model.parameters())},
        "prefill_seconds": prompt.seconds,
        "memory_bytes": memory_bytes,
        "spread_limit": limit.spread,
        "variants": {name: {"rows": each[0].row_count, "cache_bytes": each[0].cache_bytes,
                            "sequences": memory_bytes // each[0].cache_bytes,
                            "figures": {quantity: _figure(figure, limit) for quantity, figure in figures[name].items()}}
                     for name, each in samples.items()},
        "changes": {base: changes(figures, limit, base) for base in (IN_PROCESS, SERVED_FULL)},
        "parts": {name: {**part, "differences": {quantity: difference and dataclasses.asdict(difference)
                                                 for quantity, difference in part["differences"].items()}}
                  for name, part in parts(figures, limit).items()},
        "refused": [f"{name}: {quantity}" for name, each in figures.items() for quantity, figure in each.items()
                    if not limit.holds(figure)],
    }


def is_refused(result: dict) -> bool:
    """Whether a figure that the report is about was refused."""
    return any(entry.endswith(f": {quantity}") for entry in result["refused"] for quantity in CLAIMED)


def _figure(figure: Figure, limit: Limit) -> dict:
    return {"median": figure.median if limit.holds(figure) else None, "spread": figure.spread,
            "repeats": figure.repeats}
