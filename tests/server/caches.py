"""One small cache to put and get."""

import chunkkv
import sample_caches


def put(client, seed=0, **options):
    layers = [chunkkv.Layer(k, v) for k, v, _ in sample_caches.cache(64, seed=seed)]
    return client.put(model=sample_caches.model(), tokens=sample_caches.tokens(64, seed), layers=layers,
                      spec=chunkkv.CompactionSpec(policy="full"), **options)


def get(client, seed=0, **options):
    return client.get(model=sample_caches.model(), tokens=sample_caches.tokens(64, seed), **options)


def is_served(client, seed=0) -> bool:
    """Whether the client gets what `put` has put, bit for bit; False where it gets nothing."""
    try:
        entry = get(client, seed)
    except chunkkv.NotFound:
        return False
    wanted = sample_caches.cache(64, seed=seed)
    assert all(sample_caches.same_bytes(layer.k, k) and sample_caches.same_bytes(layer.v, v)
               for layer, (k, v, _) in zip(entry.layers, wanted))
    return True
