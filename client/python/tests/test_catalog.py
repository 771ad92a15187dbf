"""Finding, describing, pinning, removing and watching entries of the real server."""

import threading

import chunkkv
import numpy as np
import pytest
from sample_caches import cache, model, tokens

LENGTH = 200
FULL = chunkkv.CompactionSpec(policy="full")


def put(client, name, length=LENGTH, spec=FULL, **arguments):
    layers = [chunkkv.Layer(k=k, v=v, queries=queries) for k, v, queries in cache(length)]
    return client.put(model=model(name), tokens=tokens(length), layers=layers, spec=spec, **arguments)


def test_the_longest_prefix_is_found_and_held(client):
    result = put(client, "find")
    longer = np.concatenate([tokens(LENGTH), [1, 2, 3]])
    match = client.find_longest_prefix(model=model("find"), tokens=longer, hold_seconds=60)
    assert match.covered_tokens == 192  # whole blocks of 64: the entry's last block is short
    assert match.entries[0].entry_id == result.entry_id and match.entries[0].original_length == LENGTH
    client.get(model=model("find"), tokens=tokens(LENGTH), lease_id=match.lease_id)
    whole = client.find_longest_prefix(model=model("find"), tokens=tokens(LENGTH))
    assert whole.covered_tokens == LENGTH and whole.lease_id == b""
    assert client.find_longest_prefix(model=model("find"), tokens=[5, 6]) is None


def test_a_batch_of_queries_answers_each(client):
    put(client, "batch")
    queries = [chunkkv.Query(model("batch"), tokens(LENGTH)), chunkkv.Query(model("other"), tokens(LENGTH)),
               chunkkv.Query(model("batch"), tokens(LENGTH), accept=b"too short")]
    found, missed, failed = client.find(queries)
    assert found.covered_tokens == LENGTH and missed is None and isinstance(failed, chunkkv.InvalidArgument)


def test_an_entry_is_described_by_name_and_by_id(client):
    spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.2, window_length=8)
    result = put(client, "describe", spec=spec, ttl_seconds=600)
    info = client.describe(model=model("describe"), tokens=tokens(LENGTH), spec=spec, positions=True)
    assert info.entry_id == client.describe(entry_id=result.entry_id).entry_id == result.entry_id
    assert (info.model, info.original_length, info.spec) == (model("describe"), LENGTH, spec)
    assert (info.fingerprint, info.key, info.variant) == (result.fingerprint, result.key, result.variant)
    assert info.full_bytes == sum(k.nbytes + v.nbytes for k, v, _ in cache(LENGTH)) > info.size_bytes
    assert [len(group.positions) for group in info.groups] == [40, 40, 40] and info.layer_count == 3
    assert info.expires_unix_ms > info.created_unix_ms and (info.tier, info.durability) == ("host", "memory")
    assert client.describe(entry_id=result.entry_id).groups[0].positions is None
    with pytest.raises(chunkkv.NotFound):
        client.describe(model=model("describe"), tokens=tokens(LENGTH))


def test_entries_are_listed_page_by_page(client):
    ids = {put(client, "list", length).entry_id for length in (10, 20, 30, 40, 50)}
    listed = list(client.list(fingerprint=model("list").fingerprint(), page_size=2))
    assert {info.entry_id for info in listed} == ids and len(listed) == 5
    page, token = client.list_page(fingerprint=model("list").fingerprint(), page_size=2)
    assert len(page) == 2 and token


def test_a_pinned_entry_is_not_deleted_before_it_is_unpinned(client):
    result = put(client, "pin", pin_seconds=60)
    pin = client.pin(entry_id=result.entry_id, seconds=600)
    assert client.describe(entry_id=result.entry_id).pinned_until_unix_ms >= pin.expires_unix_ms - 1000
    with pytest.raises(chunkkv.FailedPrecondition, match="PINNED"):
        client.delete(entry_id=result.entry_id)
    client.unpin(pin)
    with pytest.raises(chunkkv.NotFound):
        client.unpin(pin)


def test_deleted_entries_are_gone(client):
    result = put(client, "delete")
    assert [type(error) for error in client.delete_many([
        chunkkv.Selector(entry_id=result.entry_id), chunkkv.Selector(model("delete"), tokens(LENGTH))])] == [
            type(None), chunkkv.NotFound]
    with pytest.raises(chunkkv.NotFound):
        client.get(model=model("delete"), tokens=tokens(LENGTH))


def test_trim_removes_by_model_and_prefix(client):
    put(client, "trim")
    put(client, "trim", 64)
    fingerprint = model("trim").fingerprint()
    dry = client.trim(fingerprint=fingerprint, dry_run=True)
    assert dry.removed_entries == 2
    by_prefix = client.trim(fingerprint=fingerprint, prefix_tokens=tokens(LENGTH))
    assert by_prefix.removed_entries == 1
    assert client.trim(fingerprint=fingerprint) == chunkkv.TrimResult(1, dry.removed_bytes - by_prefix.removed_bytes, 0)
    with pytest.raises(chunkkv.InvalidArgument):
        client.trim()


def test_a_watch_begins_with_a_snapshot_and_then_tells_what_happens(client):
    before = put(client, "watch before")
    with client.watch(timeout=60) as watch:
        snapshot = []
        for event in watch:
            snapshot.append(event)
            if event.event == "snapshot_end":
                break
        assert snapshot[0].event == "snapshot_begin"
        assert before.entry_id in {event.entry.entry_id for event in snapshot[1:-1]}
        result = put(client, "watch after")
        client.delete(entry_id=result.entry_id)
        stored, removed = next(watch), next(watch)
        assert (stored.event, stored.entry.entry_id) == ("stored", result.entry_id)
        assert (removed.event, removed.removal_reason) == ("removed", "deleted") and removed.sequence > stored.sequence


def test_cancelling_a_watch_from_another_thread_ends_it(client):
    watch = client.watch()
    next(watch)
    events = []
    reader = threading.Thread(target=lambda: events.extend(watch))
    reader.start()
    watch.cancel()
    reader.join(10)
    assert not reader.is_alive()


def test_a_get_waits_for_a_put_that_has_not_begun(client):
    got = []
    waiting = threading.Thread(target=lambda: got.append(
        client.get(model=model("wait"), tokens=tokens(LENGTH), wait_seconds=30)))
    waiting.start()
    result = put(client, "wait")
    waiting.join(30)
    assert got[0].entry_id == result.entry_id


def test_capabilities_and_stats(client):
    put(client, "stats")
    capabilities = client.capabilities()
    assert capabilities.protocol_version == "v1" and "chunk_kv" in capabilities.policies
    assert "bf16" in capabilities.dtypes and capabilities.limits["max_part_bytes"] >= 1 << 20
    stats = client.stats()
    assert stats.tiers["host"]["entries"] >= 1 and stats.tenant["puts"] >= 1 and stats.uptime_seconds >= 0
