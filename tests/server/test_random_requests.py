"""Random bad requests: what the server says of each, against rules written from the schema alone."""

import caches
import grpc
import pytest
import request_rules as rules
import sample_caches
from chunkkv.v1 import catalog_pb2, compaction_pb2, get_pb2
from judgement import code_of, code_of_stream, judge, judge_among
from programs import server_fixture
from random_requests import Mutator
from statuses import INVALID, NOT_FOUND, OK, OUT_OF_RANGE
from tenants import client_with

COUNT = 1500  # of each kind

server = server_fixture(scope="module")
pytestmark = pytest.mark.usefixtures("is_well_afterwards")


def selectors():
    from_model = sample_caches.model().to_wire()
    by_name = catalog_pb2.EntrySelector(name={"model": from_model, "key": bytes(32), "variant": bytes(32)})
    by_print = catalog_pb2.EntrySelector(name={"fingerprint": bytes(32), "key": bytes(32)})
    return [catalog_pb2.EntrySelector(entry_id=bytes(16)), by_name, by_print]


@pytest.mark.parametrize("rpc,kind", [("DescribeCaches", catalog_pb2.DescribeCachesRequest),
                                      ("DeleteCaches", catalog_pb2.DeleteCachesRequest)])
def test_selectors(stub, rpc, kind):
    mutator, outcomes = Mutator(1), set()
    for _ in range(COUNT):
        request = mutator.changed(kind(entries=selectors()))
        code, reply = code_of(getattr(stub, rpc), request)
        judge(rules.is_batch(len(request.entries)), code, request)
        if reply is None:
            continue
        items = [item.status if rpc == "DescribeCaches" else item for item in reply.items]
        assert len(items) == len(request.entries)
        for selector, item in zip(request.entries, items):
            judge(rules.is_selector(selector), item.code, selector)
            outcomes.add(rules.is_selector(selector))
    assert outcomes == {False, True}, "the generator makes both"


def test_pins(stub):
    mutator = Mutator(2)
    for _ in range(COUNT):
        request = mutator.changed(catalog_pb2.PinCachesRequest(entries=selectors(), duration_ms=1000))
        code, reply = code_of(stub.PinCaches, request)
        judge(rules.is_pin(request), code, request)
        for selector, item in zip(request.entries, reply.items if reply else ()):
            judge(rules.is_selector(selector), item.status.code, selector)


def test_lists(stub):
    mutator = Mutator(3)
    for _ in range(COUNT):
        request = mutator.changed(catalog_pb2.ListCachesRequest(page_size=10, fingerprint=bytes(32)))
        request.ClearField("page_token")
        code, _ = code_of(stub.ListCaches, request)
        judge(rules.is_list(request), code, request)


def test_unpins(stub):
    mutator = Mutator(6)
    for _ in range(COUNT):
        request = mutator.changed(catalog_pb2.UnpinCachesRequest(pin_ids=[bytes(16), bytes(16)]))
        code, reply = code_of(stub.UnpinCaches, request)
        judge(rules.is_batch(len(request.pin_ids)), code, request)
        for pin_id, item in zip(request.pin_ids, reply.items if reply else ()):
            judge_among({NOT_FOUND} if len(pin_id) == 16 else {INVALID}, item.code, pin_id)


def prompts():
    by_tokens = sample_caches.tokens(64).tolist()
    return [{"tokens": by_tokens}, {"tokens": [*by_tokens, 7], "block_extra": [b"image", b""], "token_count": 65},
            {"block_digests": [bytes(32), bytes(32)], "block_size": 16, "token_count": 17, "key": bytes(32)}]


def test_finds(stub, server):
    with client_with(server) as client:
        caches.put(client)
    mutator, outcomes = Mutator(7), set()
    model = sample_caches.model().to_wire()
    accepts = [{"least_lossy": True}, {"spec": {"policy": "POLICY_CHUNK_KV", "keep_ratio": 0.5}}, {"exact": True}]
    queries = [{"model": model, "prompt": prompt, "accept": accept, "hold_ms": 1, "shards": [{}]}
               for prompt, accept in zip(prompts(), accepts)]
    for _ in range(COUNT):
        request = mutator.changed(catalog_pb2.FindLongestPrefixRequest(queries=queries))
        code, reply = code_of(stub.FindLongestPrefix, request)
        judge_among(rules.statuses_of_find(request), code, request)
        for query, result in zip(request.queries, reply.results if reply else ()):
            judge(rules.is_query(query), result.status.code, query)
            outcomes.add(result.status.code)
    assert outcomes == {OK, NOT_FOUND, INVALID}


def test_specs_that_readers_accept(stub):
    mutator, outcomes = Mutator(10), set()
    query = {"model": sample_caches.model().to_wire(), "prompt": {"tokens": [1]}}
    specs = [{"policy": "POLICY_FULL"}, {"policy": "POLICY_EXTERNAL", "label": "by hand"},
             {"policy": "POLICY_CHUNK_KV", "keep_ratio": 0.5, "chunk_length": 5, "window_length": 8, "reuse_group": 1},
             {"policy": "POLICY_H2O", "max_tokens": 40, "recent_ratio": 0.5, "pool": 3, "sink_tokens": 1}]
    for _ in range(COUNT):
        accepted = [mutator.changed(compaction_pb2.CompactionSpec(**spec)) for spec in specs]
        queries = [{**query, "accept": {"spec": spec}} for spec in accepted]
        request = catalog_pb2.FindLongestPrefixRequest(queries=queries)
        for asked, result in zip(request.queries, stub.FindLongestPrefix(request, timeout=30).results):
            judge_among({NOT_FOUND} if rules.is_query(asked) else {INVALID}, result.status.code, asked)
            outcomes.add(result.status.code)
    assert outcomes == {NOT_FOUND, INVALID}


def test_trims(stub):
    mutator = Mutator(8)
    for prompt in prompts():
        for _ in range(COUNT // 3):
            good = catalog_pb2.TrimCachesRequest(older_than_ms=1, fingerprint=bytes(32), prefix=prompt)
            request = mutator.changed(good)
            code, _ = code_of(stub.TrimCaches, request)
            judge(rules.is_trim(request), code, request)


def test_gets(stub, server):
    with client_with(server) as client:
        caches.put(client)
    mutator, outcomes = Mutator(9), set()
    good = get_pb2.GetCacheRequest(
        model=sample_caches.model().to_wire(), prompt={"tokens": sample_caches.tokens(64).tolist()}, wait_ms=1,
        accept={"least_lossy": True}, layers={"end": 2}, tokens={"begin": 2, "end": 60}, max_part_bytes=1 << 14)
    for _ in range(COUNT):
        request = mutator.changed(good)
        request.wait_ms = min(request.wait_ms, 1)  # more may be waited for
        code = code_of_stream(stub.GetCache, request)
        judge_among(rules.statuses_of_get(request), code, request)
        outcomes.add(code)
    assert outcomes >= {OK, NOT_FOUND, INVALID, OUT_OF_RANGE}


def test_page_tokens_of_nobody(stub):
    mutator = Mutator(4)
    for _ in range(COUNT):
        request = catalog_pb2.ListCachesRequest(page_token="".join(mutator.random.choices("0123456789abcdefx-", k=20)))
        code, _ = code_of(stub.ListCaches, request)
        judge_among({OK, INVALID}, code, request)


def test_bytes_that_are_no_message(stub, server):
    mutator = Mutator(5)
    with grpc.insecure_channel(server) as channel:
        for rpc in ("DescribeCaches", "FindLongestPrefix", "TrimCaches", "RegisterRegion", "GetStats", "OpenChannel"):
            call = channel.unary_unary(f"/chunkkv.v1.KvCacheService/{rpc}")
            for _ in range(200):
                code, _ = code_of(call, mutator.random.randbytes(mutator.random.choice([1, 2, 10, 100, 1000])))
                assert code not in {status.value[0] for status in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)}
