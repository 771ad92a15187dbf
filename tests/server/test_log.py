"""The log: a JSON object a line, of known fields, that tells nothing of what is cached."""

import json
import re
import subprocess

import caches
import chunkkv
import pytest
import sample_caches
from programs import ROOT, find_program, running_server, without_own_variables
from tenants import client_with, tenant, write_tenants

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def lines(tmp_path):
    """Lines that a server of two tenants wrote while it was put to, got from and refused."""
    path = write_tenants(tmp_path / "tenants.json", tenant("a-name", "secret token"))
    with running_server(tmp_path, "--tenants", path, "--log-level", "debug") as address:
        trace = [("authorization", "Bearer secret token"), ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")]
        with chunkkv.Client(address, metadata=trace) as client:
            caches.put(client)
            assert caches.is_served(client)
            with pytest.raises(chunkkv.NotFound):
                caches.get(client, seed=1)
        with client_with(address, "wrong token") as client, pytest.raises(chunkkv.Unauthenticated):
            client.stats()
    return (tmp_path / "log").read_text()


def test_a_server_outlives_who_reads_its_log(tmp_path):
    program = find_program("CHUNKKV_SERVER", "service/chunkkv-server")
    with subprocess.Popen([program, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE,
                          env=without_own_variables()) as server:
        assert b'"listening"' in server.stderr.readline()
        server.stderr.close()
        server.terminate()  # of which two lines are written
        assert server.wait(timeout=30) == 0


def known_fields():
    source = (ROOT / "service/operation/log_fields.h").read_text()
    return set(re.findall(r'LogKey k\w+\{"(\w+)"', source)) | {"time", "level", "message"}


def test_every_line_is_an_object_of_known_fields(lines):
    objects = [json.loads(line) for line in lines.splitlines()]
    for fields in objects:
        assert {"time", "level", "message"} <= fields.keys() <= known_fields()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields["time"])
    assert [fields["message"] for fields in objects][0] == "listening" and objects[-1]["message"] == "ended"


def test_calls_are_told_with_their_end_and_trace(lines):
    calls = [json.loads(line) for line in lines.splitlines() if '"rpc"' in line]
    ends = {(call["rpc"], call["code"], call.get("reason")) for call in calls}
    assert {("PutCache", "OK", None), ("GetCache", "OK", None), ("GetCache", "NOT_FOUND", "ENTRY_NOT_FOUND"),
            ("GetStats", "UNAUTHENTICATED", "WRONG_TOKEN")} <= ends
    put = next(call for call in calls if call["rpc"] == "PutCache")
    assert put["trace_id"] == TRACE and put["duration_ms"] > 0
    assert put["bytes"] == sum(k.nbytes + v.nbytes for k, v, _ in sample_caches.cache(64))


def test_nothing_of_the_cache_or_of_credentials_is_told(lines):
    for secret in ("secret token", "wrong token", "a-name", "sample", str(sample_caches.tokens(64)[0])):
        assert secret not in lines


def test_quiet_levels_leave_calls_out(tmp_path):
    with running_server(tmp_path, "--log-level", "warning") as address, client_with(address) as client:
        caches.put(client)
    assert (tmp_path / "log").read_text() == ""
