"""What the server says of a request, held against what the rules say."""

import caches
import grpc
from local_server import eventually
from statuses import FAILED_PRECONDITION, INVALID, NOT_FOUND, OK, RESOURCE_EXHAUSTED
from tenants import client_with

# What a request may come to that is not wrong by itself.
SOUND = {OK, NOT_FOUND, FAILED_PRECONDITION, RESOURCE_EXHAUSTED}


def refusal_of(error: grpc.RpcError) -> int:
    """The status's code; every refusal has a reason and a short text."""
    trailer = dict(error.trailing_metadata())
    assert trailer["chunkkv-reason"].isupper() and 0 < len(error.details()) <= 1024
    return error.code().value[0]


def code_of(call, request):
    """(the call's status code, its reply)"""
    try:
        return OK, call(request, timeout=30)
    except grpc.RpcError as error:
        return refusal_of(error), None


def code_of_stream(call, request):
    """The status code of a call whose reply is a stream, which is read to its end."""
    try:
        for _ in call(request, timeout=30):
            pass
        return OK
    except grpc.RpcError as error:
        return refusal_of(error)


def judge(is_good: bool, code: int, request):
    judge_among(SOUND if is_good else {INVALID}, code, request)


def judge_among(statuses: set[int], code: int, request):
    assert code in statuses, f"{code} is none of {statuses} for {request!s:.3000}"


def expect_well(address: str):
    """At rest, and serving."""
    with client_with(address) as client:
        client.trim(older_than_seconds=0.001)
        caches.put(client)
        assert caches.is_served(client)
        eventually(lambda: client.stats().active_sessions == client.stats().active_gets == 0)
