"""Reuse groups as text and as a profile's JSON."""

import json

from chunkkv import ReuseGroup

ALL_CHOOSE = "+"


def groups_text(groups):
    """`0-1:1,2-2:2`: first and last layer of each group, and its leader, or `+` where all choose together."""
    return ",".join(f"{group.first_layer}-{group.first_layer + group.layer_count - 1}:"
                    f"{ALL_CHOOSE if group.leader is None else group.leader}" for group in groups)


def parse_groups(text):
    """Groups as groups_text writes them; without a leader the first layer is it. Errors: ValueError."""
    groups = []
    for part in text.split(","):
        span, _, leader = part.partition(":")
        first, last = (int(layer) for layer in span.split("-"))
        groups.append(ReuseGroup(first, last - first + 1, None if leader == ALL_CHOOSE else int(leader or first)))
    return tuple(groups)


def load_profile(path):
    """Groups of a profile's JSON, as `chunkkv tune` writes it: without a leader all choose."""
    profile = json.loads(path.read_text())
    return tuple(ReuseGroup(group["first_layer"], group["layer_count"], group.get("leader"))
                 for group in profile["groups"])
