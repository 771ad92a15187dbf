"""What a figure is of: <bench>/<model>/<tokens>/<keep>/<window>/<reuse>/<layout>/<dtype>."""

import math
from dataclasses import dataclass

BENCHES = {
    "score_lse": "G1", "score_chunk": "G1", "score_two_pass": "G1", "select": "G2", "gather": "G3", "request": "G4",
    "request_no_lse": "G4", "to_host": "P1"}
"""First parts of names, and the target (performance page) that each belongs to. score_chunk and score_two_pass are
scoring without an LSE, by sums a chunk and in two passes; request has an LSE."""

LAYOUTS = ("token_major", "head_major", "paged")  # [L, Hkv, D] (NHD), [Hkv, L, D] (HND), blocks of [tokens, Hkv, D]
DTYPE_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
CHUNK_LENGTH = 10  # the default, in every figure
LONGEST, MOST = 1 << 24, 1 << 16  # tokens; window, reuse


@dataclass(frozen=True)
class Model:
    """Attention of a model: N layers of H query and Hkv KV heads of D, D for K and V alike."""
    layers: int
    heads: int
    kv_heads: int
    head_size: int


MODELS = {"llama8b": Model(32, 32, 8, 128), "llama70b": Model(80, 64, 8, 128)}


@dataclass(frozen=True)
class Shape:
    """One prompt's KV of a model and what is asked of it. keep: share of tokens kept; reuse: layers a reuse group."""
    bench: str
    model_name: str
    tokens: int
    keep: float
    window: int
    reuse: int
    layout: str
    dtype: str

    def __str__(self):
        return "/".join((self.bench, self.model_name, str(self.tokens), f"{self.keep:g}", str(self.window),
                         str(self.reuse), self.layout, self.dtype))

    @property
    def model(self):
        return MODELS[self.model_name]

    @property
    def past(self):
        """P: tokens before the window."""
        return self.tokens - self.window

    @property
    def budget(self):
        """B, tokens kept in each layer."""
        return min(self.tokens, max(self.window, math.floor(self.keep * self.tokens + 0.5)))

    @property
    def chunks(self):
        """Chunks of one layer's past."""
        return -(-self.past // CHUNK_LENGTH)

    @property
    def rows_per_kv_head(self):
        """w * G: queries that are multiplied with each key."""
        return self.window * self.model.heads // self.model.kv_heads

    @property
    def scored_layers(self):
        """Layers that choose, where groups have leaders."""
        return -(-self.model.layers // self.reuse)

    @property
    def kv_bytes(self):
        """K and V of all layers."""
        model = self.model
        return 2 * model.layers * self.tokens * model.kv_heads * model.head_size * DTYPE_BYTES[self.dtype]

    @property
    def kept_bytes(self):
        """Their kept rows."""
        return self.kv_bytes // self.tokens * self.budget


def parse_shape(name):
    """The Shape of a figure's name. Errors: ValueError that says what is wrong with it."""
    parts = name.split("/")
    if len(parts) != 8:
        raise ValueError(f"name {name!r} has {len(parts)} parts, not 8")
    bench, model, tokens, keep, window, reuse, layout, dtype = parts
    for value, known, what in ((bench, BENCHES, "bench"), (model, MODELS, "model"), (layout, LAYOUTS, "layout"),
                               (dtype, DTYPE_BYTES, "dtype")):
        if value not in known:
            raise ValueError(f"name {name!r}: {what} {value!r} is none of {', '.join(known)}")
    try:
        shape = Shape(bench, model, int(tokens), float(keep), int(window), int(reuse), layout, dtype)
    except ValueError:
        raise ValueError(f"name {name!r}: tokens, keep, window and reuse are numbers") from None
    if not (0 < shape.keep <= 1 and 1 <= shape.window < shape.tokens <= LONGEST and 1 <= shape.reuse <= MOST):
        raise ValueError(f"name {name!r} is no prompt: 0 < keep <= 1, 1 <= window < tokens <= {LONGEST}, 1 <= reuse")
    return shape
