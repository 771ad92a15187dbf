"""What operators read tells of all that there is."""

import re

from programs import ROOT

SOURCES = ROOT / "service/operation"
DOCUMENT = (SOURCES / "README.md").read_text()


def documented() -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE))


def test_every_metric_and_log_field_is_documented():
    metrics = set(re.findall(r'MetricSpec k\w+\{"(\w+)"', (SOURCES / "metric_list.h").read_text()))
    fields = set(re.findall(r'LogKey k\w+\{"(\w+)"', (SOURCES / "log_fields.h").read_text()))
    assert len(metrics) > 20 and len(fields) > 5
    assert documented() == metrics | fields | {"time", "level", "message"}
