"""The page for vLLM's users tells of every option and metric."""
from dataclasses import fields

import chunkkv.vllm
import pytest
from chunkkv.errors import InvalidArgument
from chunkkv.vllm.options import Options
from chunkkv.vllm.stats import COUNTERS
from programs import ROOT

PAGE = (ROOT / "client/python/chunkkv/vllm/README.md").read_text()


def named_in(section):
    rows = [line for line in PAGE.split(f"## {section}\n")[1].split("\n## ")[0].splitlines() if line.startswith("| `")]
    return {name.strip(" `") for row in rows for name in row.split("|")[1].split(",")}


def test_options():
    assert named_in("Options") == {field.name for field in fields(Options)}


def test_metrics():
    assert named_in("Metrics") - {"vllm:chunkkv_..._total"} == {*COUNTERS, "failures"}


def test_the_connector_is_where_the_flag_says():
    assert chunkkv.vllm.ChunkKVConnector.__name__ in PAGE


@pytest.mark.parametrize("wrong", [{"adress": "x"}, {"threads": "2"}, {"load": 1}, {"ttl_seconds": -1}, {"address": 7421}])
def test_wrong_options_are_refused_by_name(wrong):
    with pytest.raises(InvalidArgument) as failure:
        Options.of(wrong)
    assert failure.value.reason == "OPTION" and next(iter(wrong)) in str(failure.value)


def test_whole_numbers_are_seconds_too():
    assert Options.of({"load_timeout": 3}).load_timeout == 3.0
