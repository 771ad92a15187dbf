"""kvpress on the shipped model beside the service: the same positions where both define the same thing."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="kvpress needs torch")
pytest.importorskip("kvpress", reason="kvpress is not installed")
pytest.importorskip("chunkkv", reason="the chunkkv package is not installed")

from kvpress import SnapKVPress

from needle.kvpress_agreement import AGREED, AgreementLaboratory, case_set
from needle.kvpress_side import KvpressLaboratory, PressCell, load_model, observe
from needle.laboratory import Laboratory
from needle.prompt_sets import Recipe
from needle.sweeps import POLICIES, STREAMING_LLM
from prompts import make_prompt

PROMPTS = 100


def test_both_keep_the_same_positions(server):
    laboratory = AgreementLaboratory(server)
    cases = case_set(PROMPTS).recipes
    different = [(case, same) for case in cases if not all((same := laboratory.measure(case, AGREED)[0]).values())]

    assert len(cases) == PROMPTS and not different


def test_cases_are_where_both_definitions_coincide():
    for case in case_set(PROMPTS).recipes:
        assert case.length % case.chunk_length == case.window_length % case.chunk_length == 0
        assert case.window_length < case.budget < case.length <= 1024


def test_the_comparison_can_fail():
    """Another kernel keeps other positions of the same prompt."""
    tokens = make_prompt(512, seed=1).tokens
    observed = observe(load_model(), tokens, [SnapKVPress(0.8, 8, kernel) for kernel in (1, 5)])
    one, five = (np.stack(positions) for positions in observed.positions)

    assert one.shape == five.shape == (3, 2, 102)
    assert not np.array_equal(one, five)


def test_what_kvpress_keeps_is_answered_from(server):
    """StreamingLLM keeps the same rows in both, so that both answer alike."""
    recipe = Recipe(256, seed=3, depth=0.9)
    theirs, ours = PressCell("StreamingLLMPress", 0.5, 8), POLICIES[STREAMING_LLM](0.5)
    kvpress = KvpressLaboratory().measure(recipe, [theirs])[0][theirs.name]
    service = Laboratory(server).measure(recipe, [ours])[0][ours.name]

    assert kvpress == {key: service[key] for key in kvpress}
    assert kvpress["kept"] == 128
