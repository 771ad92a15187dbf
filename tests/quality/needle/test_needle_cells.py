"""Cells are told apart by name, and ask the service for what their name says."""

import json

import pytest

pytest.importorskip("chunkkv", reason="the chunkkv package is not installed")

from chunkkv import ReuseGroup

from needle import sweeps
from needle.cells import FULL, Cell, TextChunks, grid, sentences
from needle.reuse_groups import groups_text, load_profile, parse_groups
from prompts import make_prompt

GROUPS = (ReuseGroup(0, 2, 1), ReuseGroup(2, 1, 2))


def test_names_are_unlike():
    everything = [*sweeps.standard(), sweeps.text_chunks(), sweeps.profile(GROUPS)]
    cells = {cell for sweep in everything for cell in sweep.cells} | set(sweeps.heat_cells().values())

    assert len({cell.name for cell in cells}) == len(cells)


def test_names_say_what_is_not_the_default():
    assert FULL.name == "full"
    assert sentences(0.1).name == "chunk_kv, keep 10%, sentences"
    assert grid(0.05, 5, chunk_reduce="max").name == "chunk_kv, keep 5%, grid of 5, chunk_reduce max"
    assert Cell("chunk_kv", 0.2, TextChunks(longest=8)).name == "chunk_kv, keep 20%, text longest 8"
    assert sentences(0.2, groups=GROUPS).name == "chunk_kv, keep 20%, sentences, groups 0-1:1,2-2:2"


def test_every_comparison_changes_one_thing():
    """Within chunk_kv and snap_kv a point differs from what it is compared with by its sweep's factor alone."""
    factors = {"chunk_length": {"chunks"}, "reduce": {"chunk_reduce"}, "window": {"window_length"}, "pool": {"pool"},
               "reuse": {"reuse_group", "group_score"}, "leaders": {"groups"}, "text": {"chunks"},
               "profile": {"groups"}}
    for sweep in [*sweeps.standard()[1:], sweeps.text_chunks(), sweeps.profile(GROUPS)]:
        for point in sweep.points:
            if point.against:
                changed = {name for name, value in vars(point.cell).items() if value != getattr(point.against, name)}
                assert changed and changed <= factors[sweep.name], point


def test_specifications():
    prompt = make_prompt(256, seed=1)
    spec = sentences(0.1).specification(prompt, None)
    assert spec.chunk_starts == tuple(prompt.chunk_starts) and spec.window_length == 8

    spec = Cell("chunk_kv", 0.1, TextChunks(longest=8)).specification(prompt, lambda chunks: [0, chunks.longest])
    assert spec.chunk_starts == (0, 8)

    spec = grid(0.2, 15, window_length=16).specification(prompt, None)
    assert (spec.chunk_length, spec.chunk_starts, spec.window_length, spec.chunk_reduce) == (15, None, 16, "sum")
    assert FULL.specification(prompt, None).keep_ratio is None


@pytest.mark.parametrize("text", ["0-1:1,2-2:2", "0-2:+", "0-0:0,1-2:2"])
def test_groups_are_read_as_they_are_written(text):
    assert groups_text(parse_groups(text)) == text


def test_the_first_layer_leads_where_none_is_named():
    assert parse_groups("0-1:1,2-2") == GROUPS


def test_profiles_are_read(tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps({"model": "m", "groups": [{"first_layer": 0, "layer_count": 2, "leader": None},
                                                         {"first_layer": 2, "layer_count": 1, "leader": 2}]}))

    assert load_profile(path) == (ReuseGroup(0, 2, None), ReuseGroup(2, 1, 2))
