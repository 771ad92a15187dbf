"""The shipped model as the service knows it, and its caches as they are put."""

import hashlib

import chunkkv

from folder import FOLDER

SCORED = {"chunk_kv", "snap_kv", "h2o"}


def identity(llama):
    """The ModelIdentity of passphrase-llama; its revision is the weights' digest."""
    weights = (FOLDER / "model.safetensors").read_bytes()
    return chunkkv.ModelIdentity(
        name="passphrase-llama", revision=hashlib.sha256(weights).hexdigest()[:16], kv_dtype="f32",
        rope=f"theta={llama.config['rope_theta']}", layer_count=llama.layers, kv_head_count=llama.kv_heads,
        key_head_size=llama.head_dim, value_head_size=llama.head_dim)


def payload(policy, cache, window_length):
    """A LayerCache as `policy` needs it: for H2O with the attention of all queries, else with the window's queries, of
    which `cache` may have more."""
    if policy == "h2o":
        return chunkkv.Layer(k=cache.k, v=cache.v, token_scores=cache.accumulated[:-window_length])
    return chunkkv.Layer(k=cache.k, v=cache.v, queries=cache.queries if policy in SCORED else None)
