"""Random bad puts: what the server says of each, against rules written from the schema alone."""

import begin_rules
import grpc
import pytest
import sample_puts
from chunkkv.v1 import catalog_pb2, put_pb2
from judgement import judge_among, refusal_of
from programs import server_fixture
from put_rules import PutRules
from random_requests import Mutator
from statuses import INVALID, OK

COUNT = 1000  # of each kind

server = server_fixture(scope="module")
pytestmark = pytest.mark.usefixtures("is_well_afterwards")

BEGINS = {
    "full": sample_puts.full(), "external": sample_puts.external(), "scores": sample_puts.scored(),
    "queries": sample_puts.scored("SCORE_SOURCE_QUERY_WINDOW", sink_tokens=1),
    "attention": sample_puts.scored("SCORE_SOURCE_ATTENTION", chunk_starts=[0, 5, 9], groups=[{"layer_count": 2}]),
}


@pytest.mark.parametrize("kind", BEGINS)
def test_begins(stub, kind):
    limits = stub.GetCapabilities(catalog_pb2.GetCapabilitiesRequest()).limits
    mutator, outcomes = Mutator(1), set()
    for _ in range(COUNT):
        begin = mutator.changed(BEGINS[kind])
        statuses = begin_rules.statuses_of(begin, limits)
        code = code_of_begin(stub, begin)
        judge_among(statuses, code, begin)
        outcomes.add(code)
    assert outcomes >= {OK, INVALID}, "the generator makes both"


def code_of_begin(stub, begin: put_pb2.Begin) -> int:
    """OK where a session began; it is cancelled."""
    call = stub.PutCache(iter([put_pb2.PutCacheRequest(begin=begin)]), timeout=30)
    try:
        assert next(call).HasField("begun")
        return OK
    except grpc.RpcError as error:
        return refusal_of(error)
    finally:
        call.cancel()


@pytest.mark.parametrize("kind", ["full", "external", "scores"])
def test_messages(stub, kind):
    mutator, outcomes = Mutator(2), set()
    for put in range(COUNT):
        begin = put_pb2.Begin()
        begin.CopyFrom(BEGINS[kind])
        begin.prompt.key = b"test_messages" + put.to_bytes(19)
        begin.ttl_ms = 60_000
        messages = changed_messages(mutator, sample_puts.messages_of(begin))
        statuses = PutRules(begin).statuses_of(*messages)
        code = code_of_put(stub, messages)
        judge_among(statuses, code, [without_bytes(message) for message in messages])
        outcomes.add(code)
    assert outcomes >= {OK, INVALID}, "the generator makes both"


def changed_messages(mutator: Mutator, messages: list) -> list:
    """Some are changed, left out, repeated, or come at another time; some are others."""
    chance = mutator.random
    for _ in range(chance.choice([1, 1, 2])):
        at, to = chance.randrange(len(messages)), chance.randrange(len(messages))
        match chance.randrange(6):
            case 0 if messages[at].WhichOneof("message") != "begin":
                messages[at] = mutator.changed(messages[at])
            case 1 if len(messages) > 1:
                del messages[at]
            case 2:
                messages.insert(to, messages[at])
            case 3:
                messages[at], messages[to] = messages[to], messages[at]
            case 4:
                messages[at] = put_pb2.PutCacheRequest(part=mutator.changed(messages[at].part))
            case 5:
                strays = [{}, {"attach": {"session_id": bytes(16)}}, {"begin": messages[0].begin}, {"commit": {}}]
                messages.insert(at, put_pb2.PutCacheRequest(**chance.choice(strays)))
    return messages


def without_bytes(message: put_pb2.PutCacheRequest) -> put_pb2.PutCacheRequest:
    """To be read by people."""
    shown = put_pb2.PutCacheRequest()
    shown.CopyFrom(message)
    if message.part.payload.inline:
        shown.part.payload.inline = b"%d bytes" % len(message.part.payload.inline)
    return shown


def code_of_put(stub, messages: list) -> int:
    try:
        replies = list(stub.PutCache(iter(messages), timeout=30))
    except grpc.RpcError as error:
        return refusal_of(error)
    assert replies[-1].HasField("committed") or replies[-1].begun.HasField("already_stored")
    return OK
