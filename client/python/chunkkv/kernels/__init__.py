"""Compaction where the KV is: for workers that score, select and gather themselves, and put what is left.

    kept = kernels.compact(layers, chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.1))
    client.put(model=model, tokens=tokens, **kept.put_arguments(label="my-worker"))

NumPy arrays and torch tensors are worked on in place by libchunkkv_kernels.so, on the CPU or, where it was built with
CUDA, on their GPU. The library is the file that CHUNKKV_KERNELS_LIBRARY names, or one beside this package, or the
loader's. Errors are those of chunkkv, each with a reason.
"""

from .compaction import Compacted, KeptLayer, KvLayer, compact
from .device import Device
from .operations import Selection, digest, gather, rotate, scatter, score, select
from .planning import Plan, plan
from .rows import PagedRows

__all__ = ["Compacted", "Device", "KeptLayer", "KvLayer", "PagedRows", "Plan", "Selection", "compact", "digest",
           "gather", "plan", "rotate", "scatter", "score", "select"]
