"""A real Prometheus scrapes a real server, and answers the dashboard's and the alerts' queries from it."""
import contextlib
import json
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml
from deploy_tools import CHART, find_tool
from programs import answers, free_ports, running_server
from round_trip import TOKEN_COUNT, put_and_get
from server_metrics import queryable_metrics


def ask(address, path, **parameters):
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)["data"]


def until(condition, what, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"no {what} in {timeout_s} s"
        time.sleep(0.05)
    return result


@contextlib.contextmanager
def running_prometheus(folder, target):
    address = f"127.0.0.1:{free_ports(1)[0]}"
    (folder / "alerts.yaml").write_text((CHART / "files/alerts.yaml").read_text())
    (folder / "prometheus.yaml").write_text(yaml.safe_dump({
        "global": {"scrape_interval": "200ms", "evaluation_interval": "200ms"},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": [{"job_name": "chunkkv", "static_configs": [{"targets": [target]}]}]}))
    with open(folder / "prometheus.log", "wb") as log:
        process = subprocess.Popen(
            [find_tool("prometheus"), f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address={address}"], stderr=log)

    def is_ready():
        assert process.poll() is None, (folder / "prometheus.log").read_text()[-2000:]
        return answers(f"http://{address}/-/ready")

    try:
        until(is_ready, "Prometheus")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def scraped(tmp_path):
    """Addresses of a server and of the Prometheus that scrapes it."""
    admin_port_file = tmp_path / "admin"
    with running_server(tmp_path, "--admin-listen", "127.0.0.1:0", "--admin-port-file", admin_port_file) as server:
        target = f"127.0.0.1:{until(lambda: admin_port_file.exists() and admin_port_file.read_text().strip(), 'port')}"
        with running_prometheus(tmp_path, target) as prometheus:
            yield server, prometheus


def test_what_happened_is_seen(scraped):
    server, prometheus = scraped
    put_and_get(server)

    def value(query):
        result = ask(prometheus, "query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None

    until(lambda: (value('sum(chunkkv_rpcs_total{code="OK"})') or 0) >= 2, "calls")
    assert value("sum(chunkkv_hit_tokens_total)") == TOKEN_COUNT
    assert value("chunkkv_ready") == 1 and value("chunkkv_entries") == 1

    stored = {name for name in ask(prometheus, "label/__name__/values") if name.startswith("chunkkv_")}
    assert stored <= queryable_metrics() and len(stored) > 20
    rules = [rule for group in ask(prometheus, "rules")["groups"] for rule in group["rules"]]
    assert rules and not [rule["name"] for rule in rules if rule["health"] == "err"]
    assert not [alert for alert in ask(prometheus, "alerts")["alerts"] if alert["state"] == "firing"]
