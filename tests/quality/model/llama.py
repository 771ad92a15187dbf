"""passphrase-llama in NumPy alone, float32: prefill, then greedy decoding from caches that may be compact."""

import json
from dataclasses import dataclass

import numpy as np

from folder import FOLDER
from weights_file import read_tensors


@dataclass(frozen=True)
class LayerCache:
    """What a layer leaves behind, float32: k, v [L, Hkv, D] and the window's queries [w, H, D] after RoPE, the lse
    [w, H] of their scaled logits, and the attention that each token received from all queries and heads [L]."""
    k: np.ndarray
    v: np.ndarray
    queries: np.ndarray
    lse: np.ndarray
    accumulated: np.ndarray


@dataclass(frozen=True)
class Prefill:
    """layers: a LayerCache each; logits float32 [L, vocabulary]."""
    layers: list[LayerCache]
    logits: np.ndarray


class Llama:
    def __init__(self, folder=FOLDER):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = read_tensors(folder / "model.safetensors")
        self.layers = self.config["num_hidden_layers"]
        self.heads = self.config["num_attention_heads"]
        self.kv_heads = self.config["num_key_value_heads"]
        self.head_dim = self.config["head_dim"]
        half = self.head_dim // 2
        self.inv_freq = (1 / self.config["rope_theta"] ** (np.arange(half, dtype=np.float32) / half)).astype(np.float32)

    def prefill(self, tokens, window_length):
        """tokens int [L] -> Prefill; `window_length` is that of the observation window."""
        positions = np.arange(len(tokens))
        visible = positions <= positions[:, None]
        x = self._embed(tokens)
        caches = []
        for layer in range(self.layers):
            q, k, v = self._project(layer, x, positions)
            out, probabilities, lse = attend(q, k, v, visible)
            caches.append(LayerCache(k, v, q[-window_length:], lse[-window_length:], probabilities.sum((0, 1))))
            x = self._finish(layer, x, out)
        return Prefill(caches, self._logits(x))

    def decode(self, caches, next_position, last_token, count):
        """Greedy continuation, int32 [count]. `caches` has (k, v) [rows, Hkv, D] per layer, rows may differ between
        layers; they include the row of `last_token`, the prompt's last, which stands at next_position - 1."""
        grown = [(k.astype(np.float32), v.astype(np.float32)) for k, v in caches]
        chosen = []
        token = last_token
        for position in range(next_position - 1, next_position - 1 + count):
            x = self._embed([token])
            for layer in range(self.layers):
                q, k, v = self._project(layer, x, np.array([position]))
                if position >= next_position:
                    grown[layer] = tuple(np.concatenate(pair) for pair in zip(grown[layer], (k, v)))
                out, _, _ = attend(q, *grown[layer])
                x = self._finish(layer, x, out)
            token = int(self._logits(x)[-1].argmax())
            chosen.append(token)
        return np.array(chosen, np.int32)

    def _embed(self, tokens):
        return self.weights["model.embed_tokens.weight"][np.asarray(tokens)]

    def _linear(self, layer, name, x):
        return x @ self.weights[f"model.layers.{layer}.{name}.weight"].T

    def _norm(self, name, x):
        scale = 1 / np.sqrt(np.square(x).mean(-1, keepdims=True) + self.config["rms_norm_eps"])
        return x * scale * self.weights[f"model.{name}.weight"]

    def _project(self, layer, x, positions):
        """x [T, hidden] -> q [T, H, D], k, v [T, Hkv, D], RoPE applied to q and k."""
        x = self._norm(f"layers.{layer}.input_layernorm", x)
        q, k, v = (self._linear(layer, f"self_attn.{name}_proj", x).reshape(len(x), -1, self.head_dim)
                   for name in "qkv")
        return self.rotate(q, positions), self.rotate(k, positions), v

    def rotate(self, x, positions):
        """x [T, heads, D] turned by its `positions` [T], which may be negative; float32 angles, as in transformers."""
        angles = positions.astype(np.float32)[:, None, None] * self.inv_freq
        cos, sin = np.cos(angles), np.sin(angles)
        a, b = np.split(x, 2, -1)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def _finish(self, layer, x, attended):
        """The rest of a layer: attended [T, H, D] is projected and added to x [T, hidden], then the SwiGLU block."""
        x = x + self._linear(layer, "self_attn.o_proj", attended.reshape(len(x), -1))
        inner = self._norm(f"layers.{layer}.post_attention_layernorm", x)
        gate = self._linear(layer, "mlp.gate_proj", inner)
        return x + self._linear(layer, "mlp.down_proj",
                                gate / (1 + np.exp(-gate)) * self._linear(layer, "mlp.up_proj", inner))

    def _logits(self, x):
        return self._norm("norm", x) @ self.weights["lm_head.weight"].T


def attend(q, k, v, visible=None):
    """q [T, H, D], k, v [rows, Hkv, D], visible bool [T, rows] (None: all) -> out [T, H, D], probabilities [H, T, rows]
    and lse [T, H]."""
    heads, kv_heads = q.shape[1], k.shape[1]
    grouped = q.transpose(1, 0, 2).reshape(kv_heads, -1, q.shape[2])
    logits = (grouped @ k.transpose(1, 2, 0)).reshape(heads, len(q), len(k)) * q.shape[2] ** -0.5
    if visible is not None:
        logits = np.where(visible, logits, -np.inf)
    top = logits.max(-1, keepdims=True)
    weights = np.exp(logits - top)
    total = weights.sum(-1, keepdims=True)
    probabilities = weights / total
    out = probabilities.reshape(kv_heads, -1, len(k)) @ v.transpose(1, 0, 2)
    return (out.reshape(heads, len(q), -1).transpose(1, 0, 2), probabilities,
            (top + np.log(total))[..., 0].T)
