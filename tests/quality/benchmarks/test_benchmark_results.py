"""Results survive a stop at any byte, and are not mixed with those of other settings."""

import json

import pytest

from paper_benchmarks.errors import BusyFolder, DamagedResults, SettingsMismatch
from paper_benchmarks.results_file import ResultsFile

SETTINGS = {"benchmark": "gsm8k", "budget": {"keep_ratio": 0.1, "max_tokens": None}}


def result(example, method="full", **more):
    return {"example": example, "method": method, "scores": {"accuracy": 100.0}, "response": "né\n", **more}


def test_results_are_there_when_the_folder_is_opened_again(tmp_path):
    with ResultsFile(tmp_path / "run", SETTINGS) as results:
        results.append(result("a"))
        results.append(result("a", "chunk_kv"))
        assert len((tmp_path / "run/results.jsonl").read_bytes().splitlines()) == 2
    with ResultsFile(tmp_path / "run", SETTINGS) as results:
        assert results.done == {("a", "full"), ("a", "chunk_kv")}
        assert results.rows == [result("a"), result("a", "chunk_kv")]
    assert json.loads((tmp_path / "run/settings.json").read_text()) == SETTINGS


def test_an_example_has_one_row_of_a_method(tmp_path):
    with ResultsFile(tmp_path, SETTINGS) as results:
        results.append(result("a"))
        results.append({"example": "b", "method": "full", "skipped": "too long"})
        with pytest.raises(ValueError, match="b has a result of full already"):
            results.append(result("b"))
    path = tmp_path / "results.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    path.write_bytes(b"".join(lines + lines[:1]))
    with pytest.raises(DamagedResults, match="results.jsonl:3: a has a result of full already"):
        ResultsFile(tmp_path, SETTINGS)


def test_a_stop_at_any_byte_costs_the_line_that_was_being_written(tmp_path):
    with ResultsFile(tmp_path, SETTINGS) as results:
        results.append(result("a"))
        first = (tmp_path / "results.jsonl").read_bytes()
        results.append(result("b"))
    whole = (tmp_path / "results.jsonl").read_bytes()

    for end in range(len(first), len(whole)):
        (tmp_path / "results.jsonl").write_bytes(whole[:end])
        with ResultsFile(tmp_path, SETTINGS) as results:
            assert results.done == {("a", "full")}
            results.append(result("b"))
        assert (tmp_path / "results.jsonl").read_bytes() == whole


@pytest.mark.parametrize("line", [b"{\n", b"[]\n", b'{"example": "a"}\n', b"\xff\n"])
def test_a_damaged_line_is_named(tmp_path, line):
    with ResultsFile(tmp_path, SETTINGS) as results:
        results.append(result("a"))
    path = tmp_path / "results.jsonl"
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(DamagedResults, match="results.jsonl:2"):
        ResultsFile(tmp_path, SETTINGS)


def test_other_settings_are_refused_by_name(tmp_path):
    ResultsFile(tmp_path, SETTINGS).__exit__()
    other = {"benchmark": "gsm8k", "budget": {"keep_ratio": 0.2, "max_tokens": None}, "chat": "on"}
    with pytest.raises(SettingsMismatch) as refused:
        ResultsFile(tmp_path, other)
    assert "budget.keep_ratio: 0.1 -> 0.2" in str(refused.value) and 'chat: null -> "on"' in str(refused.value)
    assert "max_tokens" not in str(refused.value)


def test_settings_compare_as_json(tmp_path):
    ResultsFile(tmp_path, {"lengths": (1, 2)}).__exit__()
    ResultsFile(tmp_path, {"lengths": [1, 2]}).__exit__()


def test_results_without_settings_are_refused(tmp_path):
    (tmp_path / "results.jsonl").write_text("{}\n")
    with pytest.raises(SettingsMismatch, match="no settings.json"):
        ResultsFile(tmp_path, SETTINGS)


def test_one_process_writes_at_a_time(tmp_path):
    with ResultsFile(tmp_path, SETTINGS), pytest.raises(BusyFolder):
        ResultsFile(tmp_path, SETTINGS)
    ResultsFile(tmp_path, SETTINGS).__exit__()
