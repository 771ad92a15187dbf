"""Clients of several replicas, against real servers on loopback: who is asked for what."""

import threading

import chunkkv
import numpy as np
import pytest
from replica_cluster import FULL, LENGTH, NAME, check, key_of, layers, prompt, put, seeds_owned_by
from sample_caches import KEY_SIZE, KV_HEADS, LAYERS, VALUE_SIZE, cache, model, tokens


def test_every_call_goes_to_the_owner(routed):
    first, second = routed.replicas()
    seeds = [*seeds_owned_by(routed, first, 3), *seeds_owned_by(routed, second, 2)]
    for seed in seeds:
        put(routed, seed)
        check(routed.get(**prompt(seed)), seed)
    listed = routed.list()
    assert {name: len(entries) for name, entries in listed.items()} == {first: 3, second: 2}
    assert {name: stats.tenant["entries"] for name, stats in routed.stats().items()} == {first: 3, second: 2}
    queries = [chunkkv.Query(**prompt(seed)) for seed in (seeds[4], 10_000, seeds[0])]
    found = routed.find(queries)
    assert [match and match.covered_tokens for match in found] == [LENGTH, None, LENGTH]
    assert routed.find_longest_prefix(**prompt(seeds[1])).covered_tokens == LENGTH
    selectors = [chunkkv.Selector(**prompt(seed)) for seed in seeds]
    assert [info.key for info in routed.describe_many(selectors)] == [
        chunkkv.PromptKey.of_tokens(tokens(LENGTH, seed)).key for seed in seeds]
    pin = routed.pin(**prompt(seeds[3]), seconds=60)
    with pytest.raises(chunkkv.FailedPrecondition):
        routed.delete(**prompt(seeds[3]))
    assert len(pin.pin_id) == 16
    routed.delete(**prompt(seeds[0]))
    with pytest.raises(chunkkv.NotFound):
        routed.describe(**prompt(seeds[0]))
    with pytest.raises(chunkkv.NotFound):
        routed.get(**prompt(seeds[0]))


def test_a_given_routing_key_counts(routed):
    first, second = routed.replicas()
    seed = seeds_owned_by(routed, first)[0]
    key = next(str(number) for number in range(100) if routed.order(str(number).encode())[0] == second)
    result = routed.put(**prompt(seed), layers=layers(seed), spec=FULL, routing_key=key)
    check(routed.get(**prompt(seed), routing_key=key), seed)
    assert routed.describe(entry_id=result.entry_id, routing_key=key).key == result.key
    with pytest.raises(chunkkv.NotFound):
        routed.get(**prompt(seed))
    with pytest.raises(chunkkv.InvalidArgument, match="ROUTING_KEY"):
        routed.describe(entry_id=result.entry_id)


def test_a_session_and_layers_go_to_the_owner(routed):
    seed = seeds_owned_by(routed, routed.replicas()[1])[0]
    with routed.open_put(**prompt(seed), spec=FULL) as session:
        for layer in layers(seed):
            session.send_layer(layer)
        session.commit()
    with routed.get_layers(**prompt(seed)) as stream:
        assert [layer.index for layer in stream] == [0, 1, 2]
    with routed.open_put(**prompt(seed), spec=FULL) as session:
        session.send_layer(layers(seed)[0])
        assert session.already_stored


def test_a_lost_replica_is_passed_over_and_another_takes_its_puts(cluster, routed):
    first, second = routed.replicas()
    seeds = seeds_owned_by(routed, first, 3)
    kept = seeds_owned_by(routed, second)[0]
    put(routed, seeds[0])
    put(routed, kept)
    cluster.stop(first)
    put(routed, seeds[1])
    check(routed.get(**prompt(seeds[1])), seeds[1])
    check(routed.get(**prompt(kept)), kept)
    with pytest.raises(chunkkv.NotFound):
        routed.get(**prompt(seeds[0]))
    with routed.open_put(**prompt(seeds[2]), spec=FULL) as session:
        for layer in layers(seeds[2]):
            session.send_layer(layer)
        session.commit()
    check(routed.get(**prompt(seeds[2])), seeds[2])
    assert routed.order(key_of(seeds[0]))[0] == second


def test_a_waiting_get_holds_a_replica_that_is_gone_from_the_name(cluster, routed):
    first, second = routed.replicas()
    seed = seeds_owned_by(routed, first)[0]
    outcome = []
    waiting = threading.Thread(target=lambda: outcome.append(routed.get(**prompt(seed), wait_seconds=60)))
    with chunkkv.Client(first) as direct:
        waiting.start()
        while direct.stats().active_gets == 0:
            assert waiting.is_alive()
        cluster.hidden = first
        cluster.now += 5.0
        cluster.settle(routed)
        assert routed.replicas() == [second]
        assert waiting.is_alive()
        put(direct, seed)
    waiting.join(30)
    check(outcome[0], seed)
    with pytest.raises(chunkkv.NotFound):
        routed.get(**prompt(seed))


def test_nobody_is_there(cluster):
    with chunkkv.RoutedClient(["127.0.0.1:9"], clock=lambda: cluster.now) as client:
        with pytest.raises(chunkkv.Unavailable):
            put(client, 1)
        failed, = client.find([chunkkv.Query(**prompt(1))])
        assert isinstance(failed, chunkkv.Unavailable)
        assert isinstance(client.stats()["127.0.0.1:9"], chunkkv.Unavailable)
    for wrong in ([], ["127.0.0.1"], "dns:///name"):
        with pytest.raises(chunkkv.InvalidArgument, match="BAD_ADDRESS"):
            chunkkv.RoutedClient(wrong)


def public_names(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(("plain", "several"), [
    (chunkkv.Client, chunkkv.RoutedClient), (chunkkv.AsyncClient, chunkkv.AsyncRoutedClient),
    (chunkkv.PutSession, chunkkv.RoutedPutSession), (chunkkv.AsyncPutSession, chunkkv.AsyncRoutedPutSession)])
def test_nothing_of_a_client_is_missing(plain, several):
    assert public_names(plain) <= public_names(several)


def test_what_is_of_one_server_is_refused(cluster, routed):
    aio = chunkkv.AsyncRoutedClient(cluster.addresses())
    for client in (routed, aio):
        for name in ("watch", "record_scores", "list_page", "list_regions", "allocate_region", "lend", "open_channel"):
            with pytest.raises(chunkkv.InvalidArgument, match=f"NOT_ROUTED.*{name} is of one server"):
                getattr(client, name)()
        with pytest.raises(chunkkv.InvalidArgument, match="NOT_ROUTED"):
            client.get(**prompt(1), mapped=True)


def test_leases_end_wherever_they_are(cluster, routed):
    first, second = routed.replicas()
    seeds = [seeds_owned_by(routed, name)[0] for name in (first, second)]
    for seed in seeds:
        put(routed, seed)
    pins = [routed.pin(**prompt(seed), seconds=60) for seed in seeds]
    held = routed.find_longest_prefix(**prompt(seeds[0]), hold_seconds=60)
    assert [type(item) for item in routed.unpin_many([pins[1], b"x" * 16, held])] == [
        type(None), chunkkv.NotFound, type(None)]
    routed.unpin(pins[0])
    with pytest.raises(chunkkv.NotFound):
        routed.unpin(pins[0])
    for seed in seeds:
        routed.delete(**prompt(seed))
    cluster.stop(first)
    with pytest.raises(chunkkv.Unavailable):
        routed.unpin(pins[0])  # the one that is lost may have had it


def test_every_replica_is_trimmed_and_tells_what_it_can(cluster, routed):
    first, second = routed.replicas()
    for seed in [*seeds_owned_by(routed, first, 2), *seeds_owned_by(routed, second, 1)]:
        put(routed, seed)
    everything = {"fingerprint": model("routed").fingerprint()}
    assert {name: result.removed_entries for name, result in routed.trim(**everything, dry_run=True).items()} == {
        first: 2, second: 1}
    assert {name: len(entries) for name, entries in routed.list(page_size=1).items()} == {first: 2, second: 1}
    cluster.stop(first)
    trimmed = routed.trim(**everything)
    assert isinstance(trimmed[first], chunkkv.Unavailable) and trimmed[second].removed_entries == 1
    assert routed.capabilities()[second].protocol_version == "v1"


def test_tokens_in_any_order_go_to_the_owner(routed):
    first, _ = routed.replicas()
    seed = seeds_owned_by(routed, first)[0]
    layout = [chunkkv.AttentionRun(layer_count=LAYERS, kv_head_count=KV_HEADS, key_head_size=KEY_SIZE,
                                   value_head_size=VALUE_SIZE, dtype=np.float32)]
    with routed.open_put(**prompt(seed), spec=FULL, layout=layout, any_order=True) as session:
        for index, (k, v, _) in enumerate(cache(LENGTH, seed=seed)):
            for begin in (50, 0):
                session.send_tokens(index, begin, chunkkv.Layer(k=k[begin:begin + 50], v=v[begin:begin + 50]))
        session.commit()
    check(routed.get(**prompt(seed)), seed)


async def test_asyncio_does_the_same(cluster):
    async with chunkkv.AsyncRoutedClient(NAME, **cluster.settings) as client:
        first, second = await client.replicas()
        owned = {name: [seed for seed in range(50) if (await client.order(key_of(seed)))[0] == name][:2]
                 for name in (first, second)}
        lost, late = owned[first]
        kept = owned[second][0]
        for seed in (lost, kept):
            await client.put(**prompt(seed), layers=layers(seed), spec=FULL)
            check(await client.get(**prompt(seed)), seed)
        assert {name: len(entries) for name, entries in (await client.list()).items()} == {first: 1, second: 1}
        found = await client.find([chunkkv.Query(**prompt(seed)) for seed in (kept, late, lost)])
        assert [match and match.covered_tokens for match in found] == [LENGTH, None, LENGTH]
        pin = await client.pin(**prompt(kept), seconds=60)
        assert [type(item) for item in await client.unpin_many([pin, b"x" * 16])] == [type(None), chunkkv.NotFound]
        with pytest.raises(chunkkv.NotFound):
            await client.unpin(pin)
        await client.delete(**prompt(kept))
        trimmed = await client.trim(fingerprint=model("routed").fingerprint(), dry_run=True)
        assert {name: result.removed_entries for name, result in trimmed.items()} == {first: 1, second: 0}
        cluster.stop(first)
        async with client.open_put(**prompt(late), spec=FULL) as session:
            for layer in layers(late):
                await session.send_layer(layer)
            await session.commit()
        async with client.get_layers(**prompt(late)) as stream:
            assert [layer.index async for layer in stream] == [0, 1, 2]
        with pytest.raises(chunkkv.NotFound):
            await client.get(**prompt(lost))
        assert {name: stats.tenant["entries"] for name, stats in (await client.stats()).items()
                if isinstance(stats, chunkkv.Stats)} == {second: 1}
