"""Compacts a prompt's cache in an engine's pages, stores what is left, and loads it into other pages."""

import argparse

import chunkkv
import numpy as np
from chunkkv import kernels

LAYERS, KV_HEADS, QUERY_HEADS, HEAD_SIZE = 4, 2, 8, 64
TOKENS, WINDOW, PAGE_TOKENS, PAGES = 512, 16, 16, 64


def engine_pages(random):
    """What an engine holds: of each layer K and V in pages [pages, page tokens, heads, head size]."""
    shape = (PAGES, PAGE_TOKENS, KV_HEADS, HEAD_SIZE)
    return [tuple(random.standard_normal(shape).astype(np.float16) for _ in "kv") for _ in range(LAYERS)]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--server", default="127.0.0.1:7421")
    arguments = arguments.parse_args()

    random = np.random.default_rng(0)
    tokens = random.integers(0, 32000, TOKENS)
    pages = engine_pages(random)
    block_table = random.permutation(PAGES)[:TOKENS // PAGE_TOKENS].astype(np.int32)  # of this prompt
    queries = [random.standard_normal((WINDOW, QUERY_HEADS, HEAD_SIZE)).astype(np.float16) for _ in range(LAYERS)]

    # The prefill worker: nothing is copied but the rows that stay.
    layers = [kernels.KvLayer(k=kernels.PagedRows(k, block_table, TOKENS), v=kernels.PagedRows(v, block_table, TOKENS),
                              queries=queries[index]) for index, (k, v) in enumerate(pages)]
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.2, window_length=WINDOW, reuse_group=2)
    kept = kernels.compact(layers, spec, on=kernels.Device(threads=2))

    model = chunkkv.ModelIdentity(name="example", revision="1", kv_dtype="f16", layer_count=LAYERS,
                                  kv_head_count=KV_HEADS, key_head_size=HEAD_SIZE, value_head_size=HEAD_SIZE)
    put = kept.put_arguments(label="example-worker")
    with chunkkv.Client(arguments.server) as client:
        stored = client.put(model=model, tokens=tokens, **put)
        entry = client.get(model=model, tokens=tokens, spec=put["spec"])

    # The decode worker: row n goes to row n of its own pages.
    own_pages = engine_pages(random)
    own_table = random.permutation(PAGES)[:-(-kept.budget // PAGE_TOKENS)].astype(np.int32)
    rows = np.arange(kept.budget)
    for layer, (k, v) in zip(entry.layers, own_pages):
        kernels.scatter(layer.k, rows, kernels.PagedRows(k, own_table, kept.budget))
        kernels.scatter(layer.v, rows, kernels.PagedRows(v, own_table, kept.budget))

    last = kernels.gather(kernels.PagedRows(own_pages[-1][0], own_table, kept.budget), rows)
    assert np.array_equal(last, kernels.gather(layers[-1].k, entry.layers[-1].positions))
    masses = " ".join(f"{mass:.2f}" for mass in kept.retained_mass)
    print(f"{stored.budget} of {TOKENS} tokens in {len(kept.groups)} lists, retained mass {masses}; "
          f"the next position is {entry.next_position}")


if __name__ == "__main__":
    main()
