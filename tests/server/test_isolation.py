"""What a tenant can learn of another's entries: nothing, neither from answers nor from the time that they take."""

import math
import random
import time

import caches
import chunkkv
import numpy as np
import pytest
import sample_caches
from programs import running_server
from tenants import client_with, tenant, write_tenants

STORED = 20  # of the one tenant; seeds from 0
TRIES = 10_000
SAMPLES = 2_000


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """(the tenant that has entries, one that has none)"""
    folder = tmp_path_factory.mktemp("isolation")
    path = write_tenants(folder / "tenants.json", tenant("owner", "token of owner"), tenant("other", "token of other"))
    with running_server(folder, "--tenants", path) as address:
        with client_with(address, "token of owner") as owner, client_with(address, "token of other") as other:
            for seed in range(STORED):
                caches.put(owner, seed)
            yield owner, other


def test_ten_thousand_tries_find_nothing(two):
    owner, other = two
    chance = random.Random(7)
    ids = [info.entry_id for info in owner.list()]
    assert len(ids) == STORED

    def selectors(count):
        prompts = [chunkkv.Selector(model=sample_caches.model(), tokens=sample_caches.tokens(64, seed))
                   for seed in range(STORED)]
        return [chance.choice(prompts) if chance.random() < 0.5 else chunkkv.Selector(entry_id=chance.choice(ids))
                for _ in range(count)]

    tries = 0
    for batch in (other.describe_many, lambda chosen: other.pin_many(chosen, seconds=1), other.delete_many):
        outcomes = batch(selectors(2_500))
        assert all(isinstance(outcome, chunkkv.NotFound) for outcome in outcomes)
        tries += len(outcomes)
    queries = [chunkkv.Query(model=sample_caches.model(), tokens=sample_caches.tokens(64, seed % STORED))
               for seed in range(2_000)]
    assert other.find(queries) == [None] * len(queries)
    tries += len(queries)
    while tries < TRIES:
        by_id = {"if_entry_id": chance.choice(ids)} if chance.random() < 0.5 else {}
        with pytest.raises(chunkkv.NotFound):
            caches.get(other, chance.randrange(STORED), **by_id)
        tries += 1
    assert not list(other.list()) and other.stats().tenant["entries"] == 0
    assert len(list(owner.list())) == STORED and owner.stats().pins == 0


def test_a_miss_takes_as_long_as_anothers_entry(two):
    """By the two-sample Kolmogorov-Smirnov test, in three runs at most."""
    assert any(p_value(*times_of_misses(two[1])) >= 0.01 for _ in range(3))


def times_of_misses(client):
    """Seconds of gets of what the other tenant has, and of what nobody has, taken in turn."""
    model = sample_caches.model()
    anothers = [sample_caches.tokens(64, seed) for seed in range(STORED)]
    nobodys = [sample_caches.tokens(64, 1000 + seed) for seed in range(STORED)]

    def seconds(tokens):
        begun = time.perf_counter()
        with pytest.raises(chunkkv.NotFound):
            client.get(model=model, tokens=tokens)
        return time.perf_counter() - begun

    pairs = [(seconds(anothers[i % STORED]), seconds(nobodys[i % STORED])) if i % 2 == 0 else
             (seconds(nobodys[i % STORED]), seconds(anothers[i % STORED]))[::-1] for i in range(SAMPLES)]
    return map(np.array, zip(*pairs))


def p_value(left, right) -> float:
    """That samples differ as much by chance: Kolmogorov's limit distribution."""
    everything = np.sort(np.concatenate([left, right]))
    shares = [np.searchsorted(np.sort(sample), everything, side="right") / len(sample) for sample in (left, right)]
    distance = np.abs(shares[0] - shares[1]).max() * math.sqrt(len(left) * len(right) / (len(left) + len(right)))
    return min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * distance) ** 2) for k in range(1, 101)))


def test_the_test_of_times_sees_a_difference():
    chance = np.random.default_rng(0)
    same = chance.normal(1, 0.1, SAMPLES)
    assert p_value(same, chance.normal(1, 0.1, SAMPLES)) > 0.01
    assert p_value(same, chance.normal(1.02, 0.1, SAMPLES)) < 0.01
