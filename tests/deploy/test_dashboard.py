"""The dashboard and the alerts ask for metrics that the server has, in queries that Prometheus understands."""
import json

import pytest
import yaml
from deploy_tools import CHART, ROOT, find_tool, run
from server_metrics import metrics_in, queryable_metrics

DASHBOARD = json.loads((ROOT / "deploy/grafana/chunkkv.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
ALERTS = yaml.safe_load((CHART / "files/alerts.yaml").read_text())


@pytest.mark.parametrize("query", QUERIES + [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]])
def test_metrics_exist(query):
    assert metrics_in(query) and metrics_in(query) <= queryable_metrics()


def test_prometheus_understands_every_panel(tmp_path):
    rules = [{"record": f"panel:{number}", "expr": query.replace("$__rate_interval", "5m")}
             for number, query in enumerate(QUERIES)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(QUERIES)} rules found" in run(find_tool("promtool"), "check", "rules", file).stdout


def test_panels_lie_side_by_side():
    cells = [(x, y) for panel in DASHBOARD["panels"] for position in [panel["gridPos"]]
             for x in range(position["x"], position["x"] + position["w"])
             for y in range(position["y"], position["y"] + position["h"])]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_chart_ships_alerts_and_dashboard_as_they_are(render):
    objects = render({"insecureListen": True, "dashboard": {"enabled": True}, "prometheusRule": {"enabled": True}})
    shipped = objects["ConfigMap", "store-chunkkv-dashboard"]
    assert json.loads(shipped["data"]["chunkkv.json"]) == DASHBOARD
    assert shipped["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert objects["PrometheusRule", "store-chunkkv"]["spec"] == ALERTS


def test_alerts_fire_when_they_should_and_only_then(tmp_path):
    cases = (ROOT / "tests/deploy/alert_cases.yaml").read_text()
    (tmp_path / "alerts.yaml").write_text((CHART / "files/alerts.yaml").read_text())
    (tmp_path / "cases.yaml").write_text(cases)
    assert "SUCCESS" in run(find_tool("promtool"), "test", "rules", tmp_path / "cases.yaml").stdout
    tried = {case["alertname"] for test in yaml.safe_load(cases)["tests"] for case in test["alert_rule_test"]
             if case.get("exp_alerts")}
    assert tried == {rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]}
