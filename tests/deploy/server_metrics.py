"""The metrics that the server has, read where they are defined: base names, and the names that a query may use."""
import re

from deploy_tools import ROOT

SUFFIXES = {"Counter": [""], "Gauge": [""], "Histogram": ["_bucket", "_sum", "_count"]}


def queryable_metrics():
    text = (ROOT / "service/operation/metric_list.h").read_text()
    found = re.findall(r'\{"(chunkkv_\w+)",\s*k(Counter|Gauge|Histogram),', text)
    assert len(found) > 20
    return {name + suffix for name, kind in found for suffix in SUFFIXES[kind]}


def metrics_in(query):
    return set(re.findall(r"\bchunkkv_\w+", query))
