#!/usr/bin/env python3
"""Writes fingerprints.json and variants.json: vectors of the canonical forms in proto/chunkkv/v1/README.md."""
import hashlib
import json
import struct
from pathlib import Path

EXACT = "00" * 32
SPEC_DEFAULTS = {"budget_multiple": 1, "chunk_length": 10, "group_score": "leader",
                 "max_raised_tokens": None, "max_tokens": None, "on_low_mass": "fail", "reuse_group": 1,
                 "window_length": 32}


def canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def identity_text(model: dict) -> str:
    whole = {"adapters": [], "extra": {}, "quantization": "", "rope": "", "value_head_size": 0} | model
    return canonical(whole)


def double_bits(value: float | None) -> str | None:
    return None if value is None else struct.pack(">d", value + 0.0).hex()


def spec_text(spec: dict) -> str:
    policy = spec["policy"]
    whole = {name: spec.get(name, default) for name, default in SPEC_DEFAULTS.items()}
    whole["policy"] = policy
    whole["chunk_reduce"] = spec.get("chunk_reduce", "max" if spec.get("chunk_starts") else "sum")
    whole["sink_tokens"] = spec.get("sink_tokens", 4 if policy == "streaming_llm" else 0)
    whole["pool"] = spec.get("pool", 5 if policy == "snap_kv" else 1)
    whole["label"] = spec.get("label", "") if policy == "external" else ""
    if spec.get("profile"):
        whole["profile"] = spec["profile"]
    whole["chunks"] = "given" if spec.get("chunk_starts") else "grid"
    whole["groups"] = [[group["first_layer"], group["layer_count"], group.get("leader")] for group in spec.get("groups", [])]
    whole["keep_ratio"] = double_bits(spec.get("keep_ratio"))
    whole["min_retained_mass"] = double_bits(spec.get("min_retained_mass"))
    whole["recent_ratio"] = double_bits(spec.get("recent_ratio", 0.5))
    return canonical(whole)


LLAMA = {"name": "meta-llama/Llama-3.1-8B-Instruct", "revision": "0e9e39f249a16976918f6564b8830bc894c89659",
         "kv_dtype": "bf16", "layer_count": 32, "kv_head_count": 8, "key_head_size": 128, "value_head_size": 128}

MODELS = {
    "required_only": {"name": "m", "revision": "r", "kv_dtype": "f32", "layer_count": 1, "kv_head_count": 1, "key_head_size": 1},
    "llama": LLAMA,
    "llama_other_revision": LLAMA | {"revision": "0e9e39f249a16976918f6564b8830bc894c89658"},
    "llama_other_dtype": LLAMA | {"kv_dtype": "f16"},
    "quantization": LLAMA | {"kv_dtype": "f8_e4m3", "quantization": "per-token-head"},
    "rope_text": LLAMA | {"rope": '{"rope_type":"llama3","factor":8.0,"low":"a\\b"}'},
    "adapters_in_order": LLAMA | {"adapters": [{"name": "b", "revision": "2"}, {"name": "a", "revision": ""}]},
    "adapters_in_other_order": LLAMA | {"adapters": [{"name": "a", "revision": ""}, {"name": "b", "revision": "2"}]},
    "extra_sorted_by_utf8": LLAMA | {"extra": {"zeta": "1", "Alpha": "2", "alpha": "3", "\u00e9": "4", "\uffee": "5", "\U0001f600": "6"}},
    "unescaped_unicode": LLAMA | {"name": "mod\u00e8le/\u6a21\u578b-\U0001f600", "revision": 'say "hi"', "rope": "a/b\u2028c"},
    "mla_latents": LLAMA | {"name": "mla", "kv_head_count": 1, "key_head_size": 576, "value_head_size": 0, "layer_count": 61},
}

SPECS = {
    "full": {"policy": "full"},
    "full_ignores_the_rest": {"policy": "full", "window_length": 8},
    "chunk_kv": {"policy": "chunk_kv", "keep_ratio": 0.2},
    "chunk_kv_defaults_stated": {"policy": "chunk_kv", "keep_ratio": 0.2, "chunk_length": 10, "window_length": 32, "reuse_group": 1,
                                 "group_score": "leader", "chunk_reduce": "sum", "sink_tokens": 0, "pool": 1, "recent_ratio": 0.5,
                                 "budget_multiple": 1, "on_low_mass": "fail"},
    "chunk_kv_neighbour_ratio": {"policy": "chunk_kv", "keep_ratio": 0.20000000000000004},
    "chunk_kv_max_tokens": {"policy": "chunk_kv", "max_tokens": 4096},
    "chunk_kv_everything_set": {"policy": "chunk_kv", "keep_ratio": 0.1, "chunk_length": 20, "window_length": 8, "reuse_group": 2,
                                "group_score": "sum", "chunk_reduce": "max", "sink_tokens": 3, "pool": 7, "recent_ratio": 0.25,
                                "budget_multiple": 16, "min_retained_mass": 0.9, "on_low_mass": "raise_budget", "max_raised_tokens": 2048},
    "chunk_kv_given_chunks": {"policy": "chunk_kv", "keep_ratio": 0.2, "chunk_starts": [0, 7, 31]},
    "chunk_kv_other_given_chunks": {"policy": "chunk_kv", "keep_ratio": 0.2, "chunk_starts": [0, 9]},
    "chunk_kv_given_chunks_by_sum": {"policy": "chunk_kv", "keep_ratio": 0.2, "chunk_reduce": "sum", "chunk_starts": [0, 7, 31]},
    "chunk_kv_groups": {"policy": "chunk_kv", "keep_ratio": 0.2, "groups": [{"first_layer": 0, "layer_count": 1, "leader": 0},
                                                                           {"first_layer": 1, "layer_count": 3}]},
    "chunk_kv_profile": {"policy": "chunk_kv", "keep_ratio": 0.2, "profile": "llama \"8b\""},
    "chunk_kv_mass_zero": {"policy": "chunk_kv", "keep_ratio": 0.2, "min_retained_mass": 0.0},
    "chunk_kv_mass_minus_zero": {"policy": "chunk_kv", "keep_ratio": 0.2, "min_retained_mass": -0.0},
    "chunk_kv_label_is_external_only": {"policy": "chunk_kv", "keep_ratio": 0.2, "label": "mine"},
    "snap_kv": {"policy": "snap_kv", "keep_ratio": 0.1},
    "h2o": {"policy": "h2o", "keep_ratio": 0.1, "recent_ratio": 0.0},
    "streaming_llm": {"policy": "streaming_llm", "max_tokens": 1024},
    "external": {"policy": "external", "label": "my method, r\u00e9sum\u00e9 2"},
    "external_unlabelled": {"policy": "external"},
}


def fingerprints() -> dict:
    return {"vectors": [{"name": name, "model": model, "canonical_text": identity_text(model),
                         "fingerprint": sha256(identity_text(model))} for name, model in MODELS.items()]}


def variants() -> dict:
    return {"vectors": [{"name": name, "spec": spec, "canonical_text": spec_text(spec),
                         "variant": EXACT if spec["policy"] == "full" else sha256(spec_text(spec))}
                        for name, spec in SPECS.items()]}


if __name__ == "__main__":
    for file, document in (("fingerprints.json", fingerprints()), ("variants.json", variants())):
        Path(__file__).with_name(file).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
