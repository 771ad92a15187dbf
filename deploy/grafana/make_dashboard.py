"""Writes the dashboard, deploy/grafana/chunkkv.json, and the chart's copy of it.

    deploy/grafana/make_dashboard.py [--check]     --check: exit 1 where either file differs
"""
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = [HERE / "chunkkv.json", HERE.parent / "helm/chunkkv/files/dashboard.json"]
PANEL_HEIGHT = 8
GRID_WIDTH = 24

SELECTED = 'job=~"$job",instance=~"$instance"'


def rate(metric, labels="", window="$__rate_interval"):
    return f"rate({metric}{{{SELECTED}{',' + labels if labels else ''}}}[{window}])"


def gauge(metric):
    return f"{metric}{{{SELECTED}}}"


def total(expression, by=""):
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def quantile(share, histogram, by=""):
    labels = "le" + (f", {by}" if by else "")
    return f"histogram_quantile({share}, {total(rate(histogram + '_bucket'), labels)})"


HITS = rate("chunkkv_hit_tokens_total")
LOOKUPS = f"({total(HITS)} + {total(rate('chunkkv_miss_tokens_total'))})"

# Title, unit, what it tells, {legend: expression}; a row's panels share its width.
ROWS = [
    ("Is it worth it", [
        ("Hit rate, in tokens", "percentunit", "Prompt tokens found, of those that gets asked for; by tier",
         {"all": f"{total(HITS)} / {LOOKUPS}", "{{tier}}": f"{total(HITS, 'tier')} / on () group_left () {LOOKUPS}"}),
        ("Stored of whole caches", "percentunit", "Bytes stored by bytes of the whole cache; compacted puts",
         {"median": quantile(0.5, "chunkkv_compaction_ratio"), "90 %": quantile(0.9, "chunkkv_compaction_ratio")}),
        ("Retained mass", "percentunit", "Share of the attention that kept tokens hold, least of all layers",
         {"median": quantile(0.5, "chunkkv_retained_mass"), "lowest 10 %": quantile(0.1, "chunkkv_retained_mass")}),
    ]),
    ("Room", [
        ("Use of tiers", "percentunit", "Of the budget: entries, and in host memory puts in flight",
         {"{{tier}} {{instance}}": f"{gauge('chunkkv_tier_used_bytes')} / {gauge('chunkkv_tier_budget_bytes')}"}),
        ("Entries", "short", "With bytes in the tier; pins keep them there",
         {"{{tier}}": total(gauge("chunkkv_tier_entries"), "tier"), "pins": total(gauge("chunkkv_pins"))}),
        ("Entries that went", "ops", "By eviction, by the end of their time, to another tier",
         {"evicted from {{tier}}": total(rate("chunkkv_evictions_total"), "tier"),
          "expired": total(rate("chunkkv_expirations_total")),
          "demoted": total(rate("chunkkv_demotions_total")),
          "promoted": total(rate("chunkkv_promotions_total"))}),
    ]),
    ("Tenants", [
        ("Bytes", "bytes", "Charged to entries of a tenant or share group, by the digest of its name",
         {"{{tenant}}": total(gauge("chunkkv_tenant_entry_bytes"), "tenant")}),
        ("Entries of each", "short", "Of a tenant or share group",
         {"{{tenant}}": total(gauge("chunkkv_tenant_entries"), "tenant")}),
        ("Refused by quotas", "reqps", "Calls of tenants that had all they may have; by the quota",
         {"{{reason}}": total(rate("chunkkv_rpc_failures_total", 'reason=~"QUOTA_.*|RATE_LIMITED"'), "reason")}),
    ]),
    ("Calls", [
        ("Calls", "reqps", "That ended", {"{{rpc}}": total(rate("chunkkv_rpcs_total"), "rpc")}),
        ("Failures", "reqps", "By the trailer chunkkv-reason",
         {"{{reason}}": total(rate("chunkkv_rpc_failures_total"), "reason")}),
        ("Duration, 99 %", "s", "From admission to end",
         {"{{rpc}}": quantile(0.99, "chunkkv_rpc_duration_seconds", "rpc"),
          "compaction": quantile(0.99, "chunkkv_compaction_duration_seconds")}),
        ("In progress", "short", "Puts, gets and watchers",
         {"{{kind}}": total(gauge("chunkkv_streams"), "kind"), "puts": total(gauge("chunkkv_put_sessions"))}),
        ("Connections", "short", "Open, and those a second that were closed at once for --max-connections",
         {"open {{instance}}": gauge("chunkkv_connections"),
          "refused {{instance}}": rate("chunkkv_refused_connections_total")}),
    ]),
    ("Bytes", [
        ("Tensors", "Bps", "Received in puts, stored of these, sent in gets",
         {"received": total(rate("chunkkv_received_bytes_total")),
          "stored": total(rate("chunkkv_stored_bytes_total")),
          "sent, {{carrier}}": total(rate("chunkkv_sent_bytes_total"), "carrier")}),
        ("Verified in the background", "Bps", "A damaged entry is removed; one is one too many",
         {"verified": total(rate("chunkkv_scrubbed_bytes_total"))}),
    ]),
    ("Servers", [
        ("Ready", "short", "1 while it takes puts and gets", {"{{instance}}": gauge("chunkkv_ready")}),
        ("Damaged entries, lost tiers", "short", "Should be 0",
         {"damaged {{instance}}": gauge("chunkkv_damaged_entries_total"),
          "lost {{tier}} {{instance}}": gauge("chunkkv_tier_lost")}),
        ("Certificate ends in", "s", "Absent without TLS",
         {"{{instance}}": f"{gauge('chunkkv_certificate_expiry_timestamp_seconds')} - time()"}),
        ("Versions", "short", "Servers of each",
         {"{{version}}": f"count by (version) ({gauge('chunkkv_build_info')})"}),
    ]),
]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panel(number, title, unit, description, queries, position):
    return {
        "id": number, "type": "timeseries", "title": title, "description": description, "datasource": DATASOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [{"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": expression,
                     "legendFormat": legend} for index, (legend, expression) in enumerate(queries.items())],
    }


def panels():
    made, top = [], 0
    for row, contents in ROWS:
        made.append({"id": len(made) + 1, "type": "row", "title": row, "collapsed": False, "panels": [],
                     "gridPos": {"x": 0, "y": top, "w": GRID_WIDTH, "h": 1}})
        width = GRID_WIDTH // len(contents)
        for column, (title, unit, description, queries) in enumerate(contents):
            position = {"x": column * width, "y": top + 1, "w": width, "h": PANEL_HEIGHT}
            made.append(panel(len(made) + 1, title, unit, description, queries, position))
        top += 1 + PANEL_HEIGHT
    return made


def choice(name, label):
    query = f"label_values(chunkkv_build_info, {label})"
    return {"name": name, "label": name.capitalize(), "type": "query", "datasource": DATASOURCE, "query": query,
            "definition": query, "refresh": 2, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"}}


def dashboard():
    return {
        "uid": "chunkkv", "title": "ChunkKV", "tags": ["chunkkv"], "schemaVersion": 39, "version": 1, "editable": True,
        "refresh": "30s", "time": {"from": "now-3h", "to": "now"}, "timezone": "browser",
        "templating": {"list": [
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            choice("job", "job"), choice("instance", "instance")]},
        "panels": panels(),
    }


def main():
    text = json.dumps(dashboard(), indent=1) + "\n"
    if sys.argv[1:] == ["--check"]:
        sys.exit(any(file.read_text() != text for file in FILES))
    for file in FILES:
        file.write_text(text)


if __name__ == "__main__":
    main()
