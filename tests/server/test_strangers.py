"""What a tenant gets who knows the ids of what another has under way: nothing, and nothing is harmed."""

import queue
import tempfile

import grpc
import pytest
import sample_puts
from chunkkv.v1 import catalog_pb2, get_pb2, kv_cache_service_pb2_grpc, payload_pb2, put_pb2, transport_pb2
from local_server import eventually
from programs import running_server
from statuses import NOT_FOUND
from tenants import client_with, tenant, write_tenants


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strangers")
    path = write_tenants(folder / "tenants.json", tenant("owner", "token of owner"), tenant("other", "token of other"))
    with tempfile.TemporaryDirectory() as short:  # a socket's path has less than 108 bytes
        with running_server(folder, "--tenants", path, "--local-socket", f"{short}/local") as address:
            yield address


@pytest.fixture
def owner(address):
    with client_with(address, "token of owner") as client:
        yield client
        eventually(lambda: client.stats().active_sessions == client.stats().active_gets == client.stats().pins == 0)
        client.trim(older_than_seconds=0.001)
        assert not list(client.list())


@pytest.fixture
def stub(address):
    with grpc.insecure_channel(address) as channel:
        yield kv_cache_service_pb2_grpc.KvCacheServiceStub(channel)


def of(tenant_name: str) -> dict:
    return {"metadata": [("authorization", f"Bearer token of {tenant_name}")], "timeout": 30}


class Put:
    """A put in progress, and what is still to be sent of it."""

    def __init__(self, stub, begin: put_pb2.Begin, tenant_name: str):
        first, *self.messages = sample_puts.messages_of(begin)
        self._queue = queue.SimpleQueue()
        self._call = stub.PutCache(iter(self._queue.get, None), **of(tenant_name))
        self._queue.put(first)
        self.session_id = next(self._call).begun.session_id

    def send(self, message):
        self._queue.put(message)

    def finish(self) -> bytes:
        """The entry's id."""
        for message in [*self.messages, None]:
            self._queue.put(message)
        *_, last = self._call
        return last.committed.entry_id

    def refusal(self):
        return refusal(lambda: list(self._call))


def refusal(call) -> tuple[int, str]:
    """(status, reason)"""
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code().value[0], dict(refused.value.trailing_metadata())["chunkkv-reason"]


def test_nobody_attaches_to_anothers_session(stub, owner):
    put = Put(stub, sample_puts.full(), "owner")
    attach = put_pb2.PutCacheRequest(attach={"session_id": put.session_id})
    messages = [attach, put.messages[0]]
    assert refusal(lambda: list(stub.PutCache(iter(messages), **of("other")))) == (NOT_FOUND, "SESSION_NOT_FOUND")
    assert owner.stats().active_sessions == 1
    assert put.finish(), "the part that the other sent was none of it"


def test_nobody_ends_anothers_pins(stub, owner):
    begin = sample_puts.full()
    begin.ttl_ms = 60_000
    entry_id = Put(stub, begin, "owner").finish()
    pinned = stub.PinCaches(catalog_pb2.PinCachesRequest(entries=[{"entry_id": entry_id}], duration_ms=60_000),
                            **of("owner")).items[0]
    request = catalog_pb2.UnpinCachesRequest(pin_ids=[pinned.pin_id])
    item, = stub.UnpinCaches(request, **of("other")).items
    assert (item.code, item.reason) == (NOT_FOUND, "PIN_NOT_FOUND")
    get = get_pb2.GetCacheRequest(model=sample_puts.full().model, prompt={"key": bytes(32)}, lease_id=pinned.pin_id)
    assert refusal(lambda: list(stub.GetCache(get, **of("other")))) == (NOT_FOUND, "ENTRY_NOT_FOUND")
    assert stub.UnpinCaches(request, **of("owner")).items[0].code == 0, "it was held all the while"


def test_nobody_reads_or_ends_anothers_region(stub, owner):
    with owner.allocate_region(1 << 20) as region:
        put = Put(stub, put_with_transfer("other"), "other")
        part = put.messages[0]
        part.part.payload.region.MergeFrom(payload_pb2.RegionSlice(region_id=region.region_id, length_bytes=128))
        put.send(part)
        assert put.refusal() == (NOT_FOUND, "REGION_NOT_FOUND")
        request = transport_pb2.UnregisterRegionRequest(region_id=region.region_id)
        assert refusal(lambda: stub.UnregisterRegion(request, **of("other"))) == (NOT_FOUND, "REGION_NOT_FOUND")
        listed = {name: stub.ListRegions(transport_pb2.ListRegionsRequest(), **of(name)).regions
                  for name in ("owner", "other")}
        assert [info.region_id for info in listed["owner"]] == [region.region_id] and not listed["other"]


def put_with_transfer(transfer_id: str) -> put_pb2.Begin:
    begin = sample_puts.full()
    begin.transfer_id = transfer_id.encode()
    return begin


def test_nobody_ends_anothers_transfer(stub, owner):
    put = Put(stub, put_with_transfer("transfer"), "owner")
    stub.QuiesceTransfer(transport_pb2.QuiesceTransferRequest(transfer_id=b"transfer"), **of("other"))
    assert put.finish(), "an id that a tenant has not is quiet"
