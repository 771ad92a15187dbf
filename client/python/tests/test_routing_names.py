"""Names of replicas, resolved in the background: no call waits for a resolver that has answered once."""

import gc
import threading
import time

import chunkkv
import pytest
from local_server import eventually
from replica_cluster import NAME, check, prompt, put


def resolver_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("chunkkv-resolve-")]


def test_names_are_resolved_again_when_old_and_after_a_failure(cluster, routed, monkeypatch):
    monkeypatch.setattr("chunkkv._replicas._LAST_PATIENCE", 20)
    first, second = routed.replicas()
    assert cluster.resolutions == 1
    third = cluster.start()
    assert routed.replicas() == [first, second]
    cluster.now += 5.0
    cluster.settle(routed)
    assert routed.replicas() == sorted([first, second, third])
    assert cluster.resolutions == 2
    cluster.now += 1.5
    cluster.stop_all()
    fourth = cluster.start()
    put(routed, 1)
    assert cluster.resolutions == 3 and routed.replicas() == [fourth]
    check(routed.get(**prompt(1)), 1)


def test_a_name_that_cannot_be_resolved_leaves_what_was_known(cluster, routed):
    known = routed.replicas()
    cluster.is_name_known = False
    cluster.now += 60
    routed.replicas()
    eventually(lambda: cluster.resolutions == 2)
    put(routed, 1)
    assert routed.replicas() == known
    third, cluster.is_name_known = cluster.start(), True
    cluster.now += 1.0
    cluster.settle(routed)
    assert third in routed.replicas()


def test_no_call_waits_for_a_resolver_that_hangs(cluster, routed):
    put(routed, 1)
    cluster.hang(routed)
    begin = time.monotonic()
    put(routed, 2)
    for seed in (1, 2) * 10:
        check(routed.get(**prompt(seed)), seed)
    assert routed.find_longest_prefix(**prompt(1)) is not None and len(routed.stats()) == 2
    assert cluster.hanging.is_set() and time.monotonic() - begin < 10


def test_who_has_nobody_left_waits_a_moment_for_a_resolver_that_hangs(cluster, routed):
    put(routed, 1)
    for address in cluster.addresses():
        cluster.kill(address)
    cluster.hang(routed)
    with pytest.raises(chunkkv.Unavailable):
        routed.get(**prompt(1))
    assert cluster.hanging.is_set()


def test_a_name_that_never_answered(cluster):
    cluster.gate.clear()
    with chunkkv.RoutedClient(NAME, **{**cluster.settings, "clock": time.monotonic}) as client:
        with pytest.raises(chunkkv.Unavailable, match="NO_REPLICAS.*kv.test:7421: is being resolved"):
            client.get(**prompt(1), timeout=0.05)
        cluster.is_name_known = False
        cluster.gate.set()
        with pytest.raises(chunkkv.Unavailable, match="NO_REPLICAS.*kv.test:7421: no such name"):
            client.get(**prompt(1))


def test_closing_waits_for_no_resolver_and_ends_who_waits(cluster):
    cluster.gate.clear()
    client, failures = chunkkv.RoutedClient(NAME, **cluster.settings), []

    def call():
        try:
            client.get(**prompt(1))
        except chunkkv.Unavailable as error:
            failures.append(error)

    waiting = threading.Thread(target=call)
    waiting.start()
    eventually(lambda: client._replicas.settling()[0]._waiters)
    assert cluster.hanging.wait(20)
    client.close()
    waiting.join(20)
    assert failures[0].reason == "NO_REPLICAS" and cluster.hanging.is_set()


def test_a_client_that_is_closed_or_forgotten_resolves_no_more(cluster):
    with chunkkv.RoutedClient(NAME, **cluster.settings) as client:
        client.replicas()
        assert resolver_threads()
    eventually(lambda: not resolver_threads())
    forgotten = chunkkv.RoutedClient(NAME, **cluster.settings)
    forgotten.replicas()
    assert resolver_threads()
    del forgotten
    gc.collect()
    eventually(lambda: not resolver_threads())


async def test_asyncio_does_the_same(cluster):
    async with chunkkv.AsyncRoutedClient(NAME, **cluster.settings) as client:
        await client.replicas()
        cluster.gate.clear()
        cluster.now += 60.0
        await client.replicas()
        assert cluster.hanging.wait(20)
        assert len(await client.stats()) == 2
        for address in cluster.addresses():
            cluster.kill(address)
        with pytest.raises(chunkkv.Unavailable):
            await client.get(**prompt(1))
    async with chunkkv.AsyncRoutedClient(NAME, **{**cluster.settings, "clock": time.monotonic}) as new:
        with pytest.raises(chunkkv.Unavailable, match="NO_REPLICAS"):
            await new.get(**prompt(1), timeout=0.05)
    assert cluster.hanging.is_set()
