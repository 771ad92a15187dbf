"""Quotas through the real stack."""

import threading

import caches
import chunkkv
import pytest
from programs import running_server
from tenants import client_with, tenant, write_tenants


@pytest.fixture
def limited(tmp_path):
    """A client of a tenant with these quotas, and one of another tenant without any."""
    def serve(**quota):
        path = write_tenants(tmp_path / "tenants.json", tenant("small", "token of small", quota=quota),
                             tenant("other", "token of other"))
        return running_server(tmp_path, "--tenants", path)

    return serve


def reason_of(act) -> str:
    with pytest.raises(chunkkv.Error) as refused:
        act()
    return refused.value.reason


def test_entries_beyond_the_quota_take_the_place_of_the_tenants_own(limited):
    with limited(entries=2) as address:
        with client_with(address, "token of small") as small, client_with(address, "token of other") as other:
            for seed in range(4):
                caches.put(small, seed)
                caches.put(other, seed)
            assert [caches.is_served(small, seed) for seed in range(4)] == [False, False, True, True]
            assert all(caches.is_served(other, seed) for seed in range(4))


def test_an_entry_that_can_never_fit_is_refused(limited):
    with limited(host_bytes=100) as address, client_with(address, "token of small") as small:
        assert reason_of(lambda: caches.put(small)) == "ENTRY_TOO_LARGE"


def test_pinned_entries_are_not_given_up_for_new_ones(limited):
    with limited(entries=1) as address, client_with(address, "token of small") as small:
        caches.put(small, pin_seconds=60)
        assert reason_of(lambda: caches.put(small, seed=1)) == "QUOTA_ENTRIES"
        assert caches.is_served(small)


def test_pins_are_bounded(limited):
    with limited(max_pin_ms=1000) as address, client_with(address, "token of small") as small:
        assert reason_of(lambda: caches.put(small, pin_seconds=2)) == "PIN_TOO_LONG"
        put = caches.put(small, pin_seconds=1)
        assert reason_of(lambda: small.pin(entry_id=put.entry_id, seconds=2)) == "PIN_TOO_LONG"


def test_streams_are_bounded(limited):
    with limited(streams=1) as address:
        with client_with(address, "token of small") as small, client_with(address, "token of other") as other:
            watch = small.watch()
            started = threading.Event()
            thread = threading.Thread(target=lambda: [started.set() for _ in watch])
            with watch:
                thread.start()
                assert started.wait(10)
                assert reason_of(lambda: caches.put(small)) == "QUOTA_STREAMS"
                caches.put(other)
                watch.cancel()
            thread.join()


def test_puts_in_progress_are_bounded(limited):
    with limited(in_flight_bytes=1) as address, client_with(address, "token of small") as small:
        assert reason_of(lambda: caches.put(small)) == "QUOTA_IN_FLIGHT"


def test_quotas_follow_the_file(tmp_path):
    path = write_tenants(tmp_path / "tenants.json", tenant("small", "token of small", quota={"in_flight_bytes": 1}))
    with running_server(tmp_path, "--tenants", path) as address, client_with(address, "token of small") as small:
        assert reason_of(lambda: caches.put(small)) == "QUOTA_IN_FLIGHT"
        write_tenants(path, tenant("small", "token of small"))
        for _ in range(200):
            try:
                caches.put(small)
                break
            except chunkkv.ResourceExhausted as refused:
                threading.Event().wait(refused.retry_after)
        assert caches.is_served(small) and small.stats().tenant["entries"] == 1
