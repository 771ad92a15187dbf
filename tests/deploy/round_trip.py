"""A put and a get of the same cache, compared bit for bit."""
import caches

import chunkkv

TOKEN_COUNT = 64


def put_and_get(address):
    with chunkkv.Client(address) as client:
        caches.put(client)
        assert caches.is_served(client)
