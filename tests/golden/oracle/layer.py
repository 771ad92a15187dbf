from dataclasses import dataclass

import numpy as np


@dataclass
class Layer:
    """One layer's input: k [L,Hkv,D], v [L,Hkv,Dv], and at most one source of scores."""

    k: np.ndarray
    v: np.ndarray | None = None
    q: np.ndarray | None = None          # [w,H,D], post-RoPE
    lse: np.ndarray | None = None        # [w,H] float32, natural log, with q
    attention: np.ndarray | None = None  # [H,w,L] probabilities
    scores: np.ndarray | None = None     # [P]


@dataclass
class Model:
    """What a run of layers states about its attention."""

    scale: float | None = None           # unset: 1/sqrt(D)
    softcap: float | None = None
    sink_logits: list[float] | None = None  # [H]
    rope: dict | None = None             # first_dim, rotary_dims, pairing, inv_freq

    def scale_for(self, head_size: int) -> float:
        return self.scale if self.scale is not None else head_size ** -0.5
