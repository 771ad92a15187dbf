"""Tenants by token and by certificate: what each may see, and how a tenant file changes under a running server."""

import time

import caches
import chunkkv
import pytest
from certificates import Authority
from programs import running_server
from sample_caches import model, tokens
from tenants import client_with, tenant, token_entry, write_tenants


@pytest.fixture
def two(tmp_path):
    """A server with tenants a and b: its address, and the path of the tenant file."""
    path = write_tenants(tmp_path / "tenants.json", tenant("a", "token of a"), tenant("b", "token of b"))
    with running_server(tmp_path, "--tenants", path) as address:
        yield address, path


def reason_of(address, **of_client) -> str:
    with client_with(address, **of_client) as client:
        try:
            client.stats()
        except chunkkv.Error as error:
            return error.reason
    return "OK"


def expect_rest(address):
    """Nothing is left of what was refused, and a tenant is served."""
    with client_with(address, "token of a") as client:
        stats = client.stats()
        assert (stats.active_sessions, stats.active_gets, stats.pins, stats.tenant["entries"]) == (0, 0, 0, 0)
        caches.put(client)
        assert caches.is_served(client)


def test_a_call_without_credentials_is_refused(two):
    address, _ = two
    with client_with(address) as client:
        with pytest.raises(chunkkv.Unauthenticated, match="bearer token") as refused:
            caches.put(client)
        assert refused.value.reason == "NO_CREDENTIALS"
        with pytest.raises(chunkkv.Unauthenticated):
            caches.get(client)
        with pytest.raises(chunkkv.Unauthenticated):
            next(iter(client.watch()))
    expect_rest(address)


@pytest.mark.parametrize("token", ["", "token of", "token of a ", "x" * 4096])
def test_a_wrong_token_is_refused(two, token):
    assert reason_of(two[0], token=token) == ("BAD_AUTHORIZATION" if token == "" else "WRONG_TOKEN")
    expect_rest(two[0])


@pytest.mark.parametrize("headers", [["Basic abc"], ["Bearer token of a", "Bearer token of a"], ["token of a"]])
def test_an_authorization_that_is_no_single_token_is_refused(two, headers):
    with chunkkv.Client(two[0], metadata=[("authorization", header) for header in headers]) as client:
        with pytest.raises(chunkkv.Unauthenticated) as refused:
            client.stats()
        assert refused.value.reason == "BAD_AUTHORIZATION"
    expect_rest(two[0])


def test_tenants_do_not_see_each_other(two):
    address, _ = two
    with client_with(address, "token of a") as a, client_with(address, "token of b") as b:
        put = caches.put(a)
        assert caches.is_served(a) and not caches.is_served(b)
        assert [info.entry_id for info in a.list()] == [put.entry_id] and not list(b.list())
        assert b.stats().tenant["entries"] == 0
        assert b.find([chunkkv.Query(model=model(), tokens=tokens(64))]) == [None]
        chosen = [chunkkv.Selector(entry_id=put.entry_id)]
        for outcomes in (b.describe_many(chosen), b.delete_many(chosen), b.pin_many(chosen, seconds=1)):
            assert isinstance(outcomes[0], chunkkv.NotFound)
        assert caches.put(b).entry_id != put.entry_id, "b stores its own"
        assert b.trim(prefix_tokens=tokens(64)).removed_entries == 1
        assert caches.is_served(a) and not caches.is_served(b)


def test_tokens_expire_and_are_for_one_deployment(tmp_path):
    path = write_tenants(tmp_path / "tenants.json", {
        "name": "a", "tokens": [token_entry("old", expires="2020-01-01T00:00:00Z"), token_entry("here", audience="prod"),
                                token_entry("there", audience="staging"), token_entry("any")]})
    with running_server(tmp_path, "--tenants", path, "--audience", "prod") as address:
        assert reason_of(address, token="old") == "TOKEN_EXPIRED"
        assert reason_of(address, token="there") == "TOKEN_AUDIENCE"
        assert reason_of(address, token="here") == reason_of(address, token="any") == "OK"


def test_a_file_that_changes_is_followed_and_one_that_is_wrong_is_not(two, tmp_path):
    address, path = two
    write_tenants(path, tenant("a", "new token of a"))
    deadline = time.monotonic() + 20
    while reason_of(address, token="new token of a") != "OK":
        assert time.monotonic() < deadline
    assert reason_of(address, token="token of a") == "WRONG_TOKEN"
    path.write_text("{")
    while "the tenants remain as they were" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
    assert reason_of(address, token="new token of a") == "OK"


def test_share_groups_are_for_their_members(tmp_path):
    path = write_tenants(tmp_path / "tenants.json", tenant("a", "token of a", share_groups=["docs"]),
                         tenant("b", "token of b", share_groups=["docs"]), tenant("c", "token of c"),
                         groups=[{"name": "docs"}])
    with running_server(tmp_path, "--tenants", path) as address:
        with client_with(address, "token of a", group="docs") as a, client_with(address, "token of b", group="docs") as b:
            caches.put(a)
            assert caches.is_served(b)
        with client_with(address, "token of a") as alone:
            assert not caches.is_served(alone), "the tenant's own entries are others"
        for group in ("docs", "nothing"):
            assert reason_of(address, token="token of c", group=group) == "NOT_IN_SHARE_GROUP"
        assert reason_of(address, token="token of a", group="nothing") == "NOT_IN_SHARE_GROUP"


def test_certificates_name_tenants_and_tokens_come_first(tmp_path):
    authority = Authority()
    certificate, key = authority.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.certificate)
    path = write_tenants(tmp_path / "tenants.json", {"name": "a", "certificates": ["spiffe://cluster/a", "a.example"]},
                         tenant("b", "token of b"))

    def client(*names, token=None):
        return client_with(address, token, credentials=authority.credentials(authority.issue(*names)))

    tls = ("--tls-certificate", certificate, "--tls-key", key, "--tls-client-ca", ca)
    with running_server(tmp_path, "--tenants", path, *tls) as address:
        with client("pod-1", "spiffe://cluster/a") as uri, client("a.example") as dns:
            caches.put(uri)
            assert caches.is_served(dns)
        with client("a.example", token="token of b") as proxy:
            assert not caches.is_served(proxy), "it speaks for b"
        with client("c.example") as unknown, pytest.raises(chunkkv.PermissionDenied) as refused:
            unknown.stats()
        assert refused.value.reason == "UNKNOWN_CERTIFICATE"


def test_requests_above_the_rate_are_told_when_to_come_again(tmp_path):
    path = write_tenants(tmp_path / "tenants.json", tenant("a", "token of a", quota={"requests_per_second": 3}),
                         tenant("b", "token of b"))
    with running_server(tmp_path, "--tenants", path) as address:
        with client_with(address, "token of a") as a, client_with(address, "token of b") as b:
            with pytest.raises(chunkkv.ResourceExhausted) as refused:
                for _ in range(50):
                    a.stats()
            assert refused.value.reason == "RATE_LIMITED" and refused.value.retry_after > 0
            b.stats()
