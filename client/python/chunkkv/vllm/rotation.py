"""How the engine's model rotates its keys, as its own modules say."""

from __future__ import annotations

from typing import Any

from vllm.model_executor.layers import rotary_embedding
from vllm.model_executor.layers.rotary_embedding import RotaryEmbedding

from ..errors import Unimplemented
from ..layers import Rope

_YARN = "YaRNScalingRotaryEmbedding"
_FIXED = {"RotaryEmbedding", "Llama3RotaryEmbedding", _YARN}
"""Classes whose frequencies are the same at any length."""
_KINDS = {"default", "llama3", "yarn"}
"""What configs call these."""


def rope_of_engine() -> Rope:
    """Errors: Unimplemented (UNSUPPORTED_ROPE): the model has none, several, or one whose keys cannot be moved."""
    modules = list(rotary_embedding._ROPE_DICT.values())
    kinds = sorted({type(module).__name__ for module in modules})
    if len(modules) != 1 or not isinstance(modules[0], RotaryEmbedding) or kinds[0] not in _FIXED:
        raise Unimplemented("UNSUPPORTED_ROPE", f"keys of {', '.join(kinds) or 'no rotary embedding'} cannot be moved to "
                                                "other positions, which a compacted cache needs")
    module = modules[0]
    frequencies = module._compute_inv_freq(module.scaling_factor if kinds[0] == _YARN else module.base)
    return Rope(tuple(frequencies.double().tolist()), "half" if module.is_neox_style else "interleaved")


def rope_refusal(model_config: Any) -> str:
    """Why keys of a model cannot be moved, as far as its config tells; empty: it does not."""
    parameters = getattr(model_config.hf_text_config, "rope_parameters", None) or {}
    kind = parameters.get("rope_type", "default")
    if not parameters or any(isinstance(value, dict) for value in parameters.values()):
        return "a compacted cache needs one rotary embedding of all layers"
    if kind not in _KINDS or parameters.get("mrope_section"):
        return f"keys of rotary embeddings of type {'mrope' if parameters.get('mrope_section') else kind} cannot be moved"
    return ""
