"""Verdicts fall as the figures do, and name the cells that speak against a claim."""

import copy

import pytest

pytest.importorskip("chunkkv", reason="the chunkkv package is not installed")

from needle import verdicts
from needle.estimates import wilson
from needle.sweeps import GRID, KEEP_RATIOS, POLICIES, SENTENCES, SENTENCES_MAX, SNAP_KV, STREAMING_LLM

PROMPTS = 200
EXACT = dict(zip(POLICIES, (170, 100, 10, 20, 40)))


def cell(exact, jaccard=(0.3, 0.4)):
    low, high = wilson(exact, PROMPTS)
    return {"prompts": PROMPTS, "exact": exact, "share": exact / PROMPTS, "low": low, "high": high, "kept": 204,
            "jaccard": list(jaccard)}


@pytest.fixture
def results():
    cells = {make(keep).name: cell(EXACT[series], (0.1, 0.2) if series == SNAP_KV else (0.3, 0.4))
             for series, make in POLICIES.items() for keep in KEEP_RATIOS}
    paired = {"only_this": 1, "only_against": 100, "p": 1e-9}
    points = [{"series": series, "x": f"{keep:.0%}", **({"paired": paired} if series != SENTENCES else {})}
              for series in POLICIES for keep in KEEP_RATIOS]
    return {"settings": {"length": 1024, "window_length": 8}, "cells": cells, "kvpress_agreement": None,
            "above_snap_kv": [{"series": series, "keep_ratio": keep, "difference": 0.2, "low": 0.15, "high": 0.25}
                              for keep in KEEP_RATIOS for series in (SENTENCES, GRID)],
            "sweeps": [{"name": "keep", "points": points}], "heat": None}


def test_what_holds(results):
    ahead, place, similar = verdicts.verdicts(results)

    assert ahead["holds"] and similar["holds"] and place["holds"] is None
    assert not ahead["against"] and not similar["against"]
    assert place["figures"][0].startswith(f"keep 10%: 1. {SENTENCES} 0.850 (0.79–0.89), 2. {GRID} 0.500")


def test_overlapping_intervals_are_not_ahead(results):
    name = POLICIES[STREAMING_LLM](0.2).name
    results["cells"][name] = cell(EXACT[SENTENCES] - 10)

    assert not verdicts.sentences_ahead(results)["holds"]
    assert not verdicts.sentences_ahead(results)["against"]


def test_a_better_baseline_anywhere_is_named(results):
    results["cells"][POLICIES[STREAMING_LLM](0.5).name] = cell(180)
    places = {series: [{"length": 512, "depth": 0.9, "prompts": 25, "exact": 20}] for series in POLICIES}
    places[SNAP_KV] = [{"length": 512, "depth": 0.9, "prompts": 25, "exact": 21}]
    results["heat"] = {"keep_ratio": 0.2, "places": places}
    verdict = verdicts.sentences_ahead(results)

    assert verdict["holds"], "the claim is of 10 and 20 %"
    assert [text.split(":")[0] for text in verdict["against"]] == [
        "keep 50%", "heat map, 512 tokens, depth 90%, keep 20%"]


def test_a_less_similar_pair_is_named(results):
    results["cells"][POLICIES[GRID](0.1).name]["jaccard"] = [0.05, 0.4]
    verdict = verdicts.adjacent_similarity(results)

    assert verdict["holds"]
    assert verdict["against"] == [f"keep 10%, layers 0 and 1 alone: {GRID} 0.050, {SNAP_KV} 0.100"]


@pytest.mark.parametrize("keep, holds", [(0.2, False), (0.5, True)])
def test_a_difference_that_may_be_none_fails_where_it_is_claimed(results, keep, holds):
    next(each for each in results["above_snap_kv"] if each["keep_ratio"] == keep)["low"] = -0.01
    verdict = verdicts.adjacent_similarity(results)

    assert verdict["holds"] == holds
    assert len(verdict["against"]) == 1 and verdict["against"][0].startswith(f"keep {keep:.0%}: {SENTENCES} 0.350")


def test_chance_is_that_of_two_random_choices():
    settings = {"settings": {"length": 1008, "window_length": 8}}

    assert verdicts.chance(settings, {"kept": 508}) == pytest.approx(1 / 3)
    assert verdicts.chance(settings, {"kept": 1008}) == 1


def test_a_profile_may_cost_a_point_and_no_more(results):
    point = {"series": SENTENCES_MAX, "panel": "keep 10%", "x": "0-2:1", "cell": "with",
             "paired": {"against": "without", "only_this": 1, "only_against": 3, "difference": -0.01, "p": 0.6}}
    results["cells"] |= {"with": cell(168), "without": cell(170)}
    profile = {"name": "profile", "points": [point]}
    assert verdicts.profile_loss(results, profile)["holds"]

    worse = copy.deepcopy(profile)
    worse["points"][0]["paired"]["difference"] = -0.015
    assert not verdicts.profile_loss(results, worse)["holds"]
    worse["points"][0]["series"] = SENTENCES  # another choice than the profile was measured for
    judged = verdicts.profile_loss(results, worse)
    assert judged["holds"] and len(judged["against"]) == 1


def test_different_positions_fail():
    same = {"prompts": 100, "same": {"chunk_kv": 99, "snap_kv": 100}, "different": [{"policy": "chunk_kv", "seed": 1}]}

    assert not verdicts.same_positions(same)["holds"]
    assert verdicts.same_positions({**same, "different": []})["holds"]
