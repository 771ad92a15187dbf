"""The admin port: probes and metrics."""

import re
import signal
import time
import urllib.error
import urllib.request

import caches
import chunkkv
import numpy as np
import pytest
import sample_caches
from local_server import eventually
from programs import running_server, start_server
from tenants import client_with, tenant, write_tenants


@pytest.fixture
def admin(tmp_path):
    """(address of the server, of its admin port)"""
    with running_server(tmp_path, *admin_options(tmp_path)) as address:
        yield address, admin_address(tmp_path)


def admin_options(folder):
    return "--admin-listen", "127.0.0.1:0", "--admin-port-file", folder / "admin"


def admin_address(folder):
    return f"127.0.0.1:{(folder / 'admin').read_text().strip()}"


def page(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as response:
        return response.read().decode()


def readings(address) -> dict[str, float]:
    """Metrics by name and labels, as they are written."""
    lines = page(address, "/metrics").splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_probes(admin):
    assert page(admin[1], "/healthz") == "ok\n"
    assert page(admin[1], "/readyz") == "ready\n"
    with pytest.raises(urllib.error.HTTPError) as missing:
        page(admin[1], "/none")
    assert missing.value.code == 404


def test_metrics_tell_what_the_server_did(admin):
    address, port = admin
    before = readings(port)
    with client_with(address) as client:
        layers = [chunkkv.Layer(k, v, queries=queries) for k, v, queries in sample_caches.cache(100)]
        spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.25, window_length=8)
        client.put(model=sample_caches.model(), tokens=sample_caches.tokens(100), layers=layers, spec=spec)
        client.get(model=sample_caches.model(), tokens=sample_caches.tokens(100), spec=spec)
        assert not caches.is_served(client, seed=5)
    eventually(lambda: 'chunkkv_sent_bytes_total{carrier="inline"}' in readings(port))  # counted after the reply's end
    after = readings(port)

    def gained(name):
        return after[name] - before.get(name, 0)

    assert gained('chunkkv_rpcs_total{code="OK",rpc="PutCache"}') == 1
    assert gained('chunkkv_rpcs_total{code="OK",rpc="GetCache"}') == 1
    assert gained('chunkkv_rpcs_total{code="NOT_FOUND",rpc="GetCache"}') == 1
    assert gained('chunkkv_rpc_failures_total{reason="ENTRY_NOT_FOUND"}') == 1
    assert gained('chunkkv_rpc_duration_seconds_count{rpc="GetCache"}') == 2
    assert gained('chunkkv_hit_tokens_total{tier="host"}') == 100
    assert gained("chunkkv_miss_tokens_total") == 64
    assert gained("chunkkv_compaction_ratio_count") == gained("chunkkv_retained_mass_count") == 1
    assert gained("chunkkv_compaction_ratio_sum") == pytest.approx(0.25)
    assert 0 < gained("chunkkv_retained_mass_sum") <= 1
    assert gained("chunkkv_received_bytes_total") > gained("chunkkv_stored_bytes_total") > 0
    assert gained('chunkkv_sent_bytes_total{carrier="inline"}') > 0
    assert gained('chunkkv_tier_entries{tier="host"}') == gained("chunkkv_entries") == 1


def test_names_of_metrics_follow_prometheus(admin):
    text = page(admin[1], "/metrics")
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    assert kinds.keys() == helps.keys() and len(kinds) > 20
    for name, kind in kinds.items():
        assert re.fullmatch(r"chunkkv_[a-z_]+", name)
        assert (kind == "counter") == name.endswith("_total"), name


def test_tenants_have_readings_of_their_own(tmp_path):
    path = write_tenants(tmp_path / "tenants.json", tenant("a", "token of a", share_groups=["docs"]), tenant("b"),
                         groups=[{"name": "docs"}])
    with running_server(tmp_path, "--tenants", path, *admin_options(tmp_path)) as address:
        with client_with(address, "token of a") as a, client_with(address, "token of a", group="docs") as docs:
            caches.put(a)
            caches.put(docs, seed=1)
            caches.put(docs, seed=2)
        found = readings(admin_address(tmp_path))
        assert {name: found[f'chunkkv_tenant_entries{{tenant="{name}"}}'] for name in ("a", "b", "group/docs")} == {
            "a": 1, "b": 0, "group/docs": 2}


def test_a_server_that_drains_is_not_ready_and_serves_metrics(tmp_path):
    process, address = start_server(tmp_path, "--grace-ms", "20000", *admin_options(tmp_path))
    try:
        with client_with(address) as client:
            layer = chunkkv.Layer(*sample_caches.cache(64)[0][:2])
            put = client.open_put(model=sample_caches.model(), tokens=sample_caches.tokens(64),
                                  spec=chunkkv.CompactionSpec(policy="full"), layout=layout())
            put.send_layer(layer)
            process.send_signal(signal.SIGTERM)
            port = admin_address(tmp_path)
            deadline = time.monotonic() + 20
            while True:
                try:
                    page(port, "/readyz")
                except urllib.error.HTTPError as not_ready:
                    assert not_ready.code == 503
                    break
                assert time.monotonic() < deadline
            assert readings(port)["chunkkv_ready"] == 0
            for k, v, _ in sample_caches.cache(64)[1:]:
                put.send_layer(chunkkv.Layer(k, v))
            put.commit()
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()


def layout():
    return [chunkkv.AttentionRun(layer_count=sample_caches.LAYERS, kv_head_count=sample_caches.KV_HEADS,
                                 key_head_size=sample_caches.KEY_SIZE, value_head_size=sample_caches.VALUE_SIZE,
                                 dtype=np.float32)]
