"""Spans of calls, as a collector of OpenTelemetry gets them."""

import contextlib
import http.server
import json
import subprocess
import threading

import caches
import chunkkv
import pytest
from local_server import eventually
from programs import find_program, running_server

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextlib.contextmanager
def collector(status=200):
    """(its address, the spans that it got)"""
    spans = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json":
                spans.extend(span for resource in body["resourceSpans"] for scope in resource["scopeSpans"]
                             for span in scope["spans"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", spans
        finally:
            server.shutdown()
            thread.join()


def traced(address, flags):
    return chunkkv.Client(address, metadata=[("traceparent", f"00-{TRACE}-{PARENT}-{flags}")])


def test_a_sampled_call_is_a_span_of_its_callers_trace(tmp_path):
    with collector() as (endpoint, spans):
        with running_server(tmp_path, "--trace-endpoint", endpoint) as address:
            with traced(address, "01") as client:
                caches.put(client)
                with pytest.raises(chunkkv.NotFound):
                    caches.get(client, seed=1)
            with traced(address, "00") as unsampled, chunkkv.Client(address) as untraced:
                unsampled.stats()
                untraced.stats()
        eventually(lambda: len(spans) >= 2)
    by_name = {span["name"].rsplit("/", 1)[1]: span for span in spans}
    assert by_name.keys() == {"PutCache", "GetCache"} and len(spans) == 2
    assert len({span["spanId"] for span in spans}) == 2
    for span in spans:
        assert (span["traceId"], span["parentSpanId"], span["kind"]) == (TRACE, PARENT, 2)
        assert 0 < int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) < 60e9
    attributes = {item["key"]: item["value"] for item in by_name["GetCache"]["attributes"]}
    assert attributes["rpc.grpc.status_code"]["intValue"] == "5"
    assert attributes["chunkkv.reason"]["stringValue"] == "ENTRY_NOT_FOUND"
    assert by_name["GetCache"]["status"]["code"] == 2 and "status" not in by_name["PutCache"]


@pytest.mark.parametrize("status", [500, None])
def test_a_collector_that_fails_harms_nobody(tmp_path, status):
    with collector(status or 200) as (endpoint, _):
        pass
    with (collector(status) if status else contextlib.nullcontext((endpoint, None))) as (endpoint, _):
        with running_server(tmp_path, "--trace-endpoint", endpoint) as address, traced(address, "01") as client:
            caches.put(client)
            assert caches.is_served(client)


def test_an_endpoint_that_is_none_is_refused():
    server = find_program("CHUNKKV_SERVER", "service/chunkkv-server")
    for endpoint in ("collector:4318", "https://collector", "grpc://x"):
        finished = subprocess.run([server, "--listen", "127.0.0.1:0", "--trace-endpoint", endpoint], capture_output=True,
                                  text=True, timeout=60)
        assert finished.returncode != 0 and endpoint in finished.stderr
