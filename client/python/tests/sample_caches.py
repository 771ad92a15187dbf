"""Small caches with seeded contents."""

import chunkkv
import numpy as np

LAYERS, KV_HEADS, QUERY_HEADS, KEY_SIZE, VALUE_SIZE = 3, 2, 4, 8, 4


def model(name="sample", dtype="f32", layers=LAYERS):
    return chunkkv.ModelIdentity(name=name, revision="1", kv_dtype=dtype, layer_count=layers, kv_head_count=KV_HEADS,
                                 key_head_size=KEY_SIZE, value_head_size=VALUE_SIZE)


def cache(token_count, dtype=np.float32, layers=LAYERS, seed=0, window=8):
    """[(k, v, queries)] of each layer."""
    random = np.random.default_rng(seed)

    def draw(*shape):
        return random.standard_normal(shape).astype(np.float32).astype(dtype)

    return [(draw(token_count, KV_HEADS, KEY_SIZE), draw(token_count, KV_HEADS, VALUE_SIZE),
             draw(min(window, token_count), QUERY_HEADS, KEY_SIZE)) for _ in range(layers)]


def tokens(token_count, seed=0):
    return np.random.default_rng([seed, 1]).integers(0, 2**32, token_count, dtype=np.uint32)


def same_bytes(left, right):
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
