"""Gets on the local socket: what holds for calls holds for them."""

import time

import caches
import chunkkv
import pytest
from local_server import sharing_server
from tenants import client_with, tenant, write_tenants
from test_admin import admin_address, admin_options, readings
from test_tenants import reason_of


@pytest.fixture
def serve(tmp_path):
    """(path of the tenants' file, a server with it that is started by entering it)"""
    def start(**quota):
        path = write_tenants(tmp_path / "tenants.json", tenant("a", "token of a", quota=quota))
        return path, sharing_server("--map-entries", "--tenants", path, *admin_options(tmp_path))

    return start


def test_they_end_with_the_token(serve):
    path, server = serve()
    with server as address, client_with(address, "token of a") as client:
        caches.put(client)
        for _ in range(2):
            caches.get(client, mapped=True)
        write_tenants(path, tenant("a", "new token of a"))
        deadline = time.monotonic() + 20
        while reason_of(address, token="new token of a") != "OK":
            assert time.monotonic() < deadline
        with pytest.raises(chunkkv.Unauthenticated, match="WRONG_TOKEN"):
            caches.get(client, mapped=True)


def test_they_are_charged_to_the_tenants_rate(serve):
    _, server = serve(requests_per_second=5)
    with server as address, client_with(address, "token of a") as client:
        caches.put(client)
        with pytest.raises(chunkkv.ResourceExhausted, match="RATE_LIMITED"):
            for _ in range(50):
                caches.get(client, mapped=True)


def test_they_are_counted(serve, tmp_path, monkeypatch):
    _, server = serve()
    with server as address, client_with(address, "token of a") as client:
        caches.put(client)
        caches.get(client, mapped=True)
        monkeypatch.setattr(client, "_get_cache", None)
        for _ in range(3):
            caches.get(client, mapped=True)
        assert readings(admin_address(tmp_path))['chunkkv_rpcs_total{code="OK",rpc="GetCache"}'] == 4
