"""A load whose time is over has ended for the engine, and writes no more, whatever its thread still waits for."""
import threading
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import chunkkv
import pytest
import torch
from chunkkv.vllm.counts import Counts
from chunkkv.vllm.loader import Loader
from chunkkv.vllm.model import EngineModel
from chunkkv.vllm.options import Options
from chunkkv.vllm.plan import Load, Segment
from chunkkv.vllm.row_memory import RowMemory
from local_server import eventually

BLOCK = 4
IDENTITY = chunkkv.ModelIdentity("loads", "1", "f32", 2, 1, 8, 8)
MODEL = EngineModel(IDENTITY, (chunkkv.Shard().resolved(IDENTITY),), 0, ("first", "second"), BLOCK, torch.float32)


class SlowService:
    """Its gets' layers come one by one, when they are released."""

    def __init__(self):
        self.steps, self.asked = threading.Semaphore(0), []

    @contextmanager
    def get_layers(self, tokens_range, **what):
        self.asked.append(what)
        yield self._layers(len(tokens_range))

    def _layers(self, count):
        for index in range(2):
            self.steps.acquire()
            rows = torch.ones(count, 1, 8)
            layer = SimpleNamespace(index=index, k=rows, v=rows, size_bytes=0)
            layer.as_torch = lambda layer=layer: layer
            yield layer


class Cache:
    """An attention layer of an engine, whose cache's slots that were written are noted."""

    num_kv_heads, head_size = 1, 8
    kv_cache = torch.zeros(1)

    def __init__(self):
        self.impl, self.written = self, []

    def do_kv_cache_update(self, layer, keys, values, cache, slots):
        self.written += slots.tolist()


@pytest.fixture
def service():
    return SlowService()


@pytest.fixture
def layers():
    return {"first": Cache(), "second": Cache()}


@pytest.fixture
def loader(service, layers):
    counts, options = Counts(), Options(load_timeout=2, threads=1)
    loader = Loader(service, MODEL, options, counts, layers, RowMemory(service, 1 << 20, False))
    loader.counts = counts
    yield loader
    for _ in range(10):
        service.steps.release()
    loader.close()


def load_of(request_id, block_ids):
    segment = Segment((b"key",), (b"entry",), b"lease", 0, 0, len(block_ids) * BLOCK)
    return Load(request_id, "", (segment,), tuple(block_ids))


def ended(loader, count):
    requests, blocks = set(), set()

    def all_ended():
        more = loader.take_finished()
        requests.update(more.requests)
        blocks.update(more.blocks)
        return len(requests) == count

    eventually(all_ended)
    return requests, blocks


def test_a_load_that_is_late_ends_and_writes_no_more(loader, service, layers):
    loader.start(load_of("late", [7, 3]))
    loader.start(load_of("behind it", [5]))
    service.steps.release()
    eventually(lambda: layers["first"].written)
    assert ended(loader, 2) == ({"late", "behind it"}, {7, 3, 5})
    service.steps.release()
    loader.close()
    assert layers["first"].written == [*range(28, 32), *range(12, 16)] and not layers["second"].written
    counts = loader.counts.take()
    assert counts["failures:load:LOAD_TIMEOUT"] == counts["loads"] == 2
    assert loader.take_finished() == type(loader.take_finished())()


def test_an_abandoned_load_ends_and_writes_no_more(loader, service, layers):
    loader.start(load_of("of old weights", [7]))
    loader.start(load_of("another", [5]))
    loader.abandon(["of old weights", "nobody"])
    assert loader.take_finished().blocks == {7}
    for _ in range(4):
        service.steps.release()
    assert ended(loader, 1) == ({"another"}, set())
    assert layers["first"].written == layers["second"].written == [*range(20, 24)]
    assert loader.counts.take()["failures:load:RESET"] == 1


@pytest.mark.parametrize("rank_count", [1, 2])
def test_each_rank_asks_for_its_own_entry(service, layers, rank_count):
    """And for the lease only where no other rank needs it."""
    model = replace(MODEL, shards=MODEL.shards * rank_count, rank=rank_count - 1)
    loader = Loader(service, model, Options(threads=1), Counts(), layers, RowMemory(service, 1 << 20, False))
    loader.start(Load("request", "", (Segment((b"0", b"1"), (b"a", b"b"), b"lease", 0, 0, BLOCK),), (0,)))
    for _ in range(2):
        service.steps.release()
    ended(loader, 1)
    loader.close()
    (asked,) = service.asked
    wanted = [(b"0", b"a", b"lease"), (b"1", b"b", b"")][rank_count - 1]
    assert (asked["key"], asked["if_entry_id"], asked["lease_id"]) == wanted
