"""Token scores, section 1 of the page."""
import numpy as np

from .layer import Layer, Model
from .refusal import Refusal

FLOAT32_MAX = float(np.finfo(np.float32).max)


def require_finite(values: np.ndarray) -> None:
    if not np.all(np.abs(values) <= FLOAT32_MAX):
        raise Refusal("NON_FINITE")


def visible_keys(queries: int, tokens: int) -> np.ndarray:
    """Returns bool [w,L]: query i, at position L-w+i, sees keys up to its own position."""
    return np.arange(tokens) <= (tokens - queries + np.arange(queries))[:, None]


def attention_logits(q: np.ndarray, k: np.ndarray, model: Model) -> np.ndarray:
    """q [w,H,D], k [L,Hkv,D]. Returns float64 [H,w,L], -inf where not visible."""
    queries, heads, head_size = q.shape
    keys = np.repeat(k.astype(np.float64), heads // k.shape[1], axis=1)
    seen = visible_keys(queries, len(k))
    with np.errstate(invalid="ignore", over="ignore"):
        logits = model.scale_for(head_size) * np.einsum("ihd,jhd->hij", q.astype(np.float64), keys)
        require_finite(logits[:, seen])
        if model.softcap is not None:
            logits = model.softcap * np.tanh(logits / model.softcap)
    return np.where(seen, logits, -np.inf)


def log_denominators(logits: np.ndarray, model: Model) -> np.ndarray:
    """logits [H,w,L]. Returns float64 [H,w]: the softmax denominator's natural log, sink logits included."""
    if model.sink_logits is not None:
        sinks = np.asarray(model.sink_logits, np.float64)[:, None, None]
        logits = np.concatenate([logits, np.broadcast_to(sinks, logits.shape[:2] + (1,))], axis=2)
    largest = logits.max(axis=2)
    return largest + np.log(np.exp(logits - largest[:, :, None]).sum(axis=2))


def attention_probabilities(layer: Layer, model: Model) -> np.ndarray:
    """Returns float64 [H,w,L]. A given LSE is the whole denominator's, so sink logits are not added to it."""
    require_finite(layer.q.astype(np.float64))
    if layer.lse is not None:
        require_finite(layer.lse.astype(np.float64))
    logits = attention_logits(layer.q, layer.k, model)
    denominators = log_denominators(logits, model) if layer.lse is None else layer.lse.astype(np.float64).T
    return np.exp(logits - denominators[:, :, None])


def token_scores(layer: Layer, model: Model, past: int) -> np.ndarray:
    """Returns float64 [P], unpooled."""
    if layer.scores is not None:
        scores = layer.scores.astype(np.float64)
        require_finite(scores)
        return scores
    if layer.attention is not None:
        probabilities = layer.attention.astype(np.float64)
        require_finite(probabilities)
    else:
        probabilities = attention_probabilities(layer, model)
    return probabilities[:, :, :past].sum(axis=(0, 1))


def pooled(scores: np.ndarray, width: int) -> np.ndarray:
    """scores [P]. Returns float64 [P]: the centred mean over width, zeros beyond the edges counted."""
    padded = np.pad(scores, width // 2)
    return np.array([padded[start:start + width].sum() / width for start in range(len(scores))])
