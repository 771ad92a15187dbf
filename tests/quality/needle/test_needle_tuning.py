"""The profile of the shipped model comes from `chunkkv tune` on puts to a real server."""

import json

import pytest

from needle import tuning
from needle.reuse_groups import load_profile


@pytest.mark.parametrize("max_loss, lists", [(0, 3), (0.9, 1)], ids=["no loss is allowed", "any loss is"])
def test_a_profile_is_measured_on_puts(server, tmp_path, max_loss, lists):
    out = tmp_path / "profile.json"
    said = tuning.tune(server, 2, 0.2, max_loss, out)

    profile = json.loads(out.read_text())
    assert f"lists          {lists} of 3" in said
    assert len(load_profile(out)) == lists and profile["prompt_count"] == 2
    assert profile["given_chunks"] and profile["spec"] == {"policy": "chunk_kv", "keep_ratio": 0.2, "window_length": 8}
