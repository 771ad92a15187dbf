"""Routed clients of TLS listeners with tenants: certificates, tokens and share groups reach every replica."""

import contextlib

import caches
import chunkkv
import pytest
import sample_caches
from certificates import Authority
from chunkkv._rendezvous import routing_key_of
from programs import start_server
from tenants import tenant, write_tenants

AUTHORITY = Authority()
SEEDS = range(6)


@pytest.fixture
def replicas(tmp_path):
    """{address: process} of two replicas that take TLS, with tokens of two tenants that share a group."""
    tenants = write_tenants(tmp_path / "tenants.json", tenant("a", "token of a", share_groups=["docs"]),
                            tenant("b", "token of b", share_groups=["docs"]), groups=[{"name": "docs"}])
    certificate, key = AUTHORITY.issue("localhost", "127.0.0.1").write(tmp_path, "server")
    with contextlib.ExitStack() as stack:
        found = {}
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            process, address = start_server(tmp_path / name, "--tls-certificate", certificate, "--tls-key", key,
                                            "--tenants", tenants)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
            found[address] = process
        yield found


def routed(replicas, token, group=None, kind=chunkkv.RoutedClient, authority=AUTHORITY):
    metadata = [("authorization", f"Bearer {token}")]
    if group is not None:
        metadata.append(("chunkkv-share-group", group))
    return kind(list(replicas), metadata=metadata, credentials=authority.credentials())


def seeds_of_each(client):
    """Seeds of prompts, until every replica owns one."""
    owners, seed = set(), 0
    while owners != set(client.replicas()):
        key = chunkkv.PromptKey.of_tokens(sample_caches.tokens(64, seed))
        owners.add(client.order(routing_key_of(key))[0])
        seed += 1
    return range(seed)


def entry_counts(client):
    return [len(entries) for entries in client.list().values()]


def test_each_tenant_has_its_own_entries_and_its_groups_at_every_replica(replicas):
    with (routed(replicas, "token of a") as own, routed(replicas, "token of a", "docs") as shared,
          routed(replicas, "token of b") as other, routed(replicas, "token of b", "docs") as reader):
        seeds = seeds_of_each(own)
        for seed in seeds:
            caches.put(own, seed)
            assert caches.is_served(own, seed)
            assert not caches.is_served(other, seed) and not caches.is_served(shared, seed)
        assert all(entry_counts(own)) and sum(entry_counts(own)) == len(seeds) and not any(entry_counts(other))
        for seed in seeds:
            caches.put(shared, seed)
            assert caches.is_served(reader, seed) and not caches.is_served(other, seed)


def test_credentials_hold_at_the_next_replica_too(replicas):
    with routed(replicas, "token of a", "docs") as client, routed(replicas, "token of b", "docs") as reader:
        process = replicas[next(iter(replicas))]
        process.kill()
        process.wait()
        for seed in SEEDS:
            caches.put(client, seed)
            assert caches.is_served(reader, seed)


def test_refused_credentials_are_the_answer(replicas):
    with routed(replicas, "token of nobody") as client:
        for seed in SEEDS:
            with pytest.raises(chunkkv.Unauthenticated):
                caches.get(client, seed)
        assert {type(answer) for answer in client.stats().values()} == {chunkkv.Unauthenticated}
    with routed(replicas, "token of a", "not mine") as client, pytest.raises(chunkkv.PermissionDenied):
        caches.put(client)


def test_a_replica_that_is_not_trusted_is_unavailable(replicas):
    with routed(replicas, "token of a", authority=Authority("other")) as client, pytest.raises(chunkkv.Unavailable):
        caches.get(client, timeout=20)


async def test_asyncio_does_the_same(replicas):
    async with routed(replicas, "token of a", "docs", chunkkv.AsyncRoutedClient) as client:
        for seed in SEEDS:
            await caches.put(client, seed)
    with routed(replicas, "token of b", "docs") as reader:
        assert all(caches.is_served(reader, seed) for seed in SEEDS)
