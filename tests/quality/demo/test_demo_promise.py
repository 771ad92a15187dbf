"""The demo through the real server: what README says of it holds."""

import pytest

chunkkv = pytest.importorskip("chunkkv", reason="the chunkkv package is not installed")

import demo
from methods import COMPACT, FULL

PROMPTS = 50
SENTENCES_AT_20 = next(method for method in COMPACT if method.sentences and method.keep_ratio == 0.2)


def exact_answers(results, method):
    return round(PROMPTS * next(row["exact"] for row in results if row["method"]["label"] == method.label
                                and row["method"]["keep_ratio"] == method.keep_ratio))


def test_sentences_at_a_fifth_answer_nine_tenths_of_what_the_full_cache_does(server, monkeypatch):
    monkeypatch.setattr(demo, "METHODS", [FULL, SENTENCES_AT_20])
    with chunkkv.Client(server) as client:
        results = demo.Demo(client, length=1024, seed=0).table(PROMPTS)
        left = client.stats().tenant["entries"]

    full = exact_answers(results, FULL)
    assert full >= 0.9 * PROMPTS
    assert exact_answers(results, SENTENCES_AT_20) >= 0.9 * full
    assert next(row["stored_share"] for row in results if row["method"]["label"] == SENTENCES_AT_20.label) < 0.21
    assert left == 0


def test_the_example_shows_every_method(server, capsys):
    with chunkkv.Client(server) as client:
        shown = demo.Demo(client, length=256, seed=3).example()

    printed = capsys.readouterr().out
    assert all(method.title.strip() in printed for method in [FULL, *COMPACT])
    assert len(shown["outcomes"]) == 1 + len(COMPACT) and shown["wanted"] in printed
