"""Replicas that fail: how long they stand back, what a call has left of its time, and gets that break halfway."""

import chunkkv
import grpc
import pytest
from chunkkv._stand_back import StandBack
from fake_service import FakeService, entry_messages
from replica_cluster import FULL, LENGTH, NAME, check, key_of, prompt, put, seeds_owned_by
from sample_caches import cache, model, same_bytes, tokens

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "drains", ())
MISS = (grpc.StatusCode.NOT_FOUND, "a miss", ())


@pytest.fixture
def fakes():
    services = [FakeService() for _ in range(2)]
    yield {service.address: service for service in services}
    for service in services:
        service.stop()


def test_the_interval_doubles_to_its_longest_and_is_reset_by_an_answer():
    stand_back, now, intervals = StandBack(chunkkv.Timing(), lambda: 0.0), 0.0, []
    for _ in range(7):
        stand_back.note_failure(now)
        stand_back.note_failure(now + 0.5)  # of a call beside it
        intervals.append(next(step for step in range(1, 100) if stand_back.is_over(now + step)))
        now += intervals[-1]
    assert intervals == [1, 2, 4, 8, 16, 30, 30]
    stand_back.note_answer()
    assert stand_back.is_over(now)
    stand_back.note_failure(now)
    assert not stand_back.is_over(now + 0.9) and stand_back.is_over(now + 1.0)


def test_jitter_takes_up_to_a_fifth():
    for draw, interval in ((0.0, 10.0), (0.5, 9.0), (1.0, 8.0)):
        stand_back = StandBack(chunkkv.Timing(pass_over=10.0), lambda: draw)
        stand_back.note_failure(100.0)
        assert not stand_back.is_over(99.99 + interval) and stand_back.is_over(100.01 + interval)


def test_who_fails_stands_back_longer_each_time_until_it_answers(cluster, fakes):
    (failing, fake), (running, _) = fakes.items()
    fake.failure = UNAVAILABLE
    with chunkkv.RoutedClient(list(fakes), clock=lambda: cluster.now, random=lambda: 0.0) as client:
        seed = seeds_owned_by(client, failing)[0]

        def first():
            return client.order(key_of(seed))[0]

        for interval in (1.0, 2.0, 4.0):
            assert first() == failing
            put(client, seed)
            cluster.now += interval - 0.01
            assert first() == running
            cluster.now += 0.02
        fake.failure = None
        put(client, seed)
        fake.failure = UNAVAILABLE
        put(client, seed)
        cluster.now += 1.0
        assert first() == failing
        assert len(fake.puts) == 1


def test_a_miss_is_an_answer(cluster, fakes):
    (address, fake), _ = fakes.items()
    with chunkkv.RoutedClient([address], clock=lambda: cluster.now, random=lambda: 0.0) as client:
        for failure, error in ((UNAVAILABLE, chunkkv.Unavailable), (MISS, chunkkv.NotFound),
                               (UNAVAILABLE, chunkkv.Unavailable)):
            fake.failure = failure
            with pytest.raises(error):
                client.get(**prompt(1))
            cluster.now += 1.0
        assert client._replicas.take(address).stand_back.is_over(cluster.now)


def test_a_call_that_a_server_ends_with_itself_goes_on_to_the_next_one(fakes):
    with chunkkv.RoutedClient(list(fakes)) as client:
        ending = client.order(key_of(1))[0]
        fakes[ending].failure = (grpc.StatusCode.CANCELLED, "", ())
        put(client, 1)
        assert [len(fakes[address].puts) for address in client.order(key_of(1))] == [1, 0]


class Waiting(FakeService):
    """A replica at which a get waits for 20 s of the test's clock, and that then is lost."""

    def __init__(self, cluster):
        super().__init__()
        self.cluster = cluster

    def _get(self, request, context):
        self.cluster.gets.append((request.wait_ms, round(context.time_remaining(), -1)))
        self.cluster.now += 20.0
        context.abort(grpc.StatusCode.UNAVAILABLE, "is lost")
        yield


@pytest.fixture
def waiting(cluster):
    cluster.gets = []
    services = [Waiting(cluster) for _ in range(4)]
    yield [service.address for service in services]
    for service in services:
        service.stop()


def test_a_wait_and_a_timeout_are_of_the_whole_call(cluster, waiting):
    with chunkkv.RoutedClient(waiting, clock=lambda: cluster.now) as client:
        with pytest.raises(chunkkv.Unavailable, match="is lost"):
            client.get(**prompt(1), wait_seconds=50, timeout=70)
    assert cluster.gets == [(50_000, 70), (30_000, 50), (10_000, 30), (0, 10)]


async def test_so_they_are_with_asyncio(cluster, waiting):
    async with chunkkv.AsyncRoutedClient(waiting, clock=lambda: cluster.now) as client:
        with pytest.raises(chunkkv.Unavailable, match="is lost"):
            await client.get(**prompt(1), wait_seconds=30, timeout=50)
    assert cluster.gets == [(30_000, 50), (10_000, 30), (0, 10)]


def test_a_get_whose_replica_is_lost_halfway_goes_on_to_the_next_one(fakes):
    with chunkkv.RoutedClient(list(fakes)) as client:
        seed = 7
        owner, other = client.order(key_of(seed))
        pairs = [(k, v) for k, v, _ in cache(LENGTH, seed=seed)]
        prompt_key = chunkkv.PromptKey.of_tokens(tokens(LENGTH, seed)).key
        messages = [message.SerializeToString() for message in entry_messages(model("routed"), prompt_key, pairs,
                                                                              token_count=LENGTH)]
        fakes[owner].replies, fakes[owner].late_failure = messages[:len(messages) // 2], UNAVAILABLE
        fakes[other].replies = messages
        check(client.get(**prompt(seed)), seed)
        assert [len(fakes[address].requests) for address in (owner, other)] == [1, 1]
        assert client.order(key_of(seed)) == [other, owner]
        fakes[other].replies = messages[:-1]
        with pytest.raises(chunkkv.DataLoss):  # an answer, if a wrong one
            client.get(**prompt(seed))


def test_layers_whose_replica_is_killed_halfway_were_right_and_the_rest_is_a_failure(cluster, routed):
    length, seed = 250_000, 3  # 24 MB a layer: more than is under way
    pairs = [(k, v) for k, v, _ in cache(length, seed=seed)]
    call = {"model": model("routed"), "tokens": tokens(length, seed)}
    routed.put(**call, layers=[chunkkv.Layer(k=k, v=v) for k, v in pairs], spec=FULL)
    key = chunkkv.PromptKey.of_tokens(call["tokens"]).block_digests[0]
    owner, other = routed.order(key)
    with pytest.raises(chunkkv.Unavailable):
        with routed.get_layers(**call) as stream:
            layer = next(stream)
            cluster.kill(owner)
            assert same_bytes(layer.k, pairs[0][0]) and same_bytes(layer.v, pairs[0][1])
            for layer in stream:
                assert same_bytes(layer.k, pairs[layer.index][0])
    assert routed.order(key)[0] == other
    with pytest.raises(chunkkv.NotFound):
        routed.get(**call)
    assert routed.put(**call, layers=[chunkkv.Layer(k=k, v=v) for k, v in pairs], spec=FULL).already_stored is False
    with routed.get_layers(**call) as stream:
        for layer, (k, v) in zip(stream, pairs, strict=True):
            assert same_bytes(layer.k, k) and same_bytes(layer.v, v)


async def test_so_it_is_with_asyncio(cluster):
    length, seed = 250_000, 3
    pairs = [(k, v) for k, v, _ in cache(length, seed=seed)]
    call = {"model": model("routed"), "tokens": tokens(length, seed)}
    async with chunkkv.AsyncRoutedClient(NAME, **cluster.settings) as client:
        await client.put(**call, layers=[chunkkv.Layer(k=k, v=v) for k, v in pairs], spec=FULL)
        owner, other = await client.order(chunkkv.PromptKey.of_tokens(call["tokens"]).block_digests[0])
        received = []
        with pytest.raises(chunkkv.Unavailable):
            async with client.get_layers(**call) as stream:
                async for layer in stream:
                    received.append(layer)
                    if len(received) == 1:
                        cluster.kill(owner)
        assert all(same_bytes(layer.k, pairs[layer.index][0]) for layer in received) and len(received) < 3
        with pytest.raises(chunkkv.NotFound):
            await client.get(**call)
