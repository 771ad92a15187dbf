"""Decoder models of Hugging Face transformers: prefill in one process, decode in another from the compacted cache.

    with chunkkv.hf.capture_queries(model, 32) as window:
        model(tokens, past_key_values=cache)
    chunkkv.hf.put(client, model, tokens, cache, window, spec)

    served = chunkkv.hf.load(client, model, tokens, spec=spec)
    chunkkv.hf.generate(model, served, first_token, max_new_tokens=100)

Needs torch and transformers 5: pip install 'chunkkv[hf]'.
"""

try:
    from transformers import AttentionInterface as _AttentionInterface
except ImportError as error:
    raise ImportError("chunkkv.hf needs torch and transformers 5: pip install 'chunkkv[hf]'") from error
if not hasattr(_AttentionInterface, "get_interface"):
    raise ImportError("chunkkv.hf needs transformers 5")

from .cache import CompactLayer
from .capture import QueryWindow, capture_queries
from .identity import identity_of, weights_digest
from .load import generate, load, load_batch
from .put import put, put_batch
from .rope import measured_ropes
from .served import Served, ServedRow

__all__ = ["CompactLayer", "QueryWindow", "Served", "ServedRow", "capture_queries", "generate", "identity_of", "load",
           "load_batch", "measured_ropes", "put", "put_batch", "weights_digest"]
