"""A status becomes an exception that says the same."""

import chunkkv
import grpc
import pytest
from sample_caches import cache, model, tokens


def calls(client):
    k, v, _ = cache(4, layers=1)[0]
    return {"get": lambda: client.get(model=model(), tokens=tokens(4)),
            "put": lambda: client.put(model=model(), tokens=tokens(4), layers=[chunkkv.Layer(k=k, v=v)],
                                      spec=chunkkv.CompactionSpec(policy="full"))}


@pytest.mark.parametrize("call", ["get", "put"])
@pytest.mark.parametrize("code,kind", [
    (grpc.StatusCode.INVALID_ARGUMENT, chunkkv.InvalidArgument), (grpc.StatusCode.NOT_FOUND, chunkkv.NotFound),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, chunkkv.ResourceExhausted), (grpc.StatusCode.ABORTED, chunkkv.Aborted),
    (grpc.StatusCode.DATA_LOSS, chunkkv.DataLoss), (grpc.StatusCode.UNKNOWN, chunkkv.Error)])
def test_reason_message_and_retry_come_with_the_class_of_the_status(fake, fake_client, call, code, kind):
    fake.failure = code, "field x", (("chunkkv-reason", "THE_REASON"), ("chunkkv-retry-ms", "250"))
    with pytest.raises(chunkkv.Error) as caught:
        calls(fake_client)[call]()
    assert type(caught.value) is kind and caught.value.code == code
    assert (caught.value.reason, caught.value.message, caught.value.retry_after) == ("THE_REASON", "field x", 0.25)
    assert str(caught.value) == "THE_REASON: field x"


@pytest.mark.parametrize("call", ["get", "put"])
async def test_asyncio_raises_the_same(fake, call):
    fake.failure = grpc.StatusCode.ABORTED, "field x", (("chunkkv-reason", "THE_REASON"),)
    async with chunkkv.AsyncClient(fake.address) as client:
        with pytest.raises(chunkkv.Aborted) as caught:
            await calls(client)[call]()
    assert (caught.value.reason, caught.value.retry_after) == ("THE_REASON", None)


class CallThatEnds:
    """Stands in for a call of grpc.aio, whose statuses follow each other."""

    def __init__(self):
        self.status, self.callback = None, None

    def add_done_callback(self, callback):
        self.callback = callback

    def end(self, code, details, trailer=()):
        self.status = code, details, trailer
        self.callback(self)

    async def code(self):
        return self.status[0]

    async def details(self):
        return self.status[1]

    async def trailing_metadata(self):
        return self.status[2]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["before", "after"])
async def test_the_services_status_counts_where_a_write_failed_for_it(order):
    from chunkkv.aio import _CallEnd

    statuses = [(grpc.StatusCode.INTERNAL, "Internal error from Core"),
                (grpc.StatusCode.ABORTED, "field x", (("chunkkv-reason", "THE_REASON"),))]
    call = CallThatEnds()
    end = _CallEnd(call)
    for number in order:
        call.end(*statuses[number])
    error = await end.error()
    assert type(error) is chunkkv.Aborted and error.reason == "THE_REASON"


def test_nobody_there_is_unavailable():
    with chunkkv.Client("127.0.0.1:1") as client:
        for call in calls(client).values():
            with pytest.raises(chunkkv.Unavailable):
                call()


def test_a_timeout_is_deadline_exceeded(fake, fake_client):
    fake.is_endless = True
    with pytest.raises(chunkkv.DeadlineExceeded):
        fake_client.get(model=model(), tokens=tokens(4), timeout=0.05)


def test_errors_are_pythons_own_kinds_too():
    assert issubclass(chunkkv.NotFound, LookupError) and issubclass(chunkkv.InvalidArgument, ValueError)
    assert issubclass(chunkkv.DeadlineExceeded, TimeoutError) and issubclass(chunkkv.Unavailable, ConnectionError)


async def test_cancelling_an_asyncio_get_reaches_the_service(fake):
    import asyncio

    fake.is_endless = True
    async with chunkkv.AsyncClient(fake.address) as client:
        waiting = asyncio.ensure_future(client.get(model=model(), tokens=tokens(4)))
        while not fake.requests:
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await asyncio.wait_for(asyncio.wrap_future(fake.cancelled), 10)
