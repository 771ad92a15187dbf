"""What entries are named by: everything that changes the rows."""
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from chunkkv.errors import InvalidArgument
from chunkkv.vllm.model import Adapters, _positions, files_digest
from chunkkv.vllm.rotation import rope_refusal
from chunkkv.vllm.scheduler import _digest
from chunkkv.vllm.transfer import kept_rows, parse


def folder_of(folder: Path, config: str, weights: bytes):
    folder.mkdir()
    (folder / config).write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_weights_are_told_apart_by_their_bytes(tmp_path):
    names = ["a", "b", "c", "d"]
    weights = [b"x" * 100_000, b"x" * 100_000, b"x" * 99_999 + b"y", b"x" * 99_999]
    digests = [files_digest(folder_of(tmp_path / name, "config.json", given)) for name, given in zip(names, weights)]
    assert digests[0] == digests[1] and len(set(digests)) == 3
    with pytest.raises(InvalidArgument):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty/config.json").write_text("{}")
        files_digest(tmp_path / "empty")


def test_adapters_are_told_apart_by_their_bytes(tmp_path):
    first, other = (folder_of(tmp_path / name, "adapter_config.json", name.encode()) for name in ("first", "other"))
    adapters = Adapters()
    digests = [adapters.digest(SimpleNamespace(lora_path=str(folder))) for folder in (first, other)]
    assert None not in digests and digests[0] != digests[1]
    assert adapters.digest(None) == b"" and adapters.digest(SimpleNamespace(lora_path="somebody/adapter")) is None
    block_hash = bytes(range(32))
    named = {_digest(block_hash, adapter) for adapter in (b"", *digests)}
    assert len(named) == 3 and block_hash in named and all(len(name) == 32 for name in named)
    assert len(_digest(bytes(16), b"")) == 32


def test_an_adapter_whose_files_change_is_left_alone(tmp_path):
    adapters = Adapters()
    adapter = SimpleNamespace(lora_path=str(folder_of(tmp_path / "adapter", "adapter_config.json", b"first")))
    before = adapters.digest(adapter)
    assert before and adapters.digest(adapter) == before
    (tmp_path / "adapter/model.safetensors").write_bytes(b"other")
    os.utime(tmp_path / "adapter/model.safetensors", ns=(1, 1))
    assert adapters.digest(adapter) is None and Adapters().digest(adapter) not in (None, before)


def test_keys_of_longrope_are_of_one_longest_length():
    def positions(kind, longest):
        text = SimpleNamespace(rope_parameters={"rope_type": kind})
        return _positions(SimpleNamespace(hf_text_config=text, max_model_len=longest))

    assert positions("default", 4096) == positions("default", 8192) == ""
    assert positions("longrope", 4096) != positions("longrope", 131072)


@pytest.mark.parametrize("parameters,is_refused", [
    ({"rope_type": "default", "rope_theta": 1e4}, False), ({"rope_type": "llama3", "factor": 8.0}, False),
    ({"rope_type": "yarn", "factor": 4.0}, False), ({"rope_type": "dynamic"}, True), ({"rope_type": "longrope"}, True),
    ({"rope_type": "default", "mrope_section": [16, 24, 24]}, True), (None, True),
    ({"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "default"}}, True)])
def test_keys_that_cannot_be_moved_are_known_from_the_config(parameters, is_refused):
    config = SimpleNamespace(hf_text_config=SimpleNamespace(rope_parameters=parameters))
    assert bool(rope_refusal(config)) == is_refused


@pytest.mark.parametrize("given", [
    {"role": "consumer", "key": "00" * 32, "variant": "11" * 32, "salt": "s", "rows": 1e400},
    {"role": "producer", "keep_ratio": 1e400}, {"role": "producer", "keep_ratio": float("nan")},
    {"role": "producer", "keep_ratio": 0}, {"role": "producer", "max_tokens": 0},
    {"role": "producer", "keep_ratio": 0.5, "chunk_starts": [1e400]}, {"role": "producer", "keep_ratio": 0.5, "pool": 1e400},
    {"role": "producer", "keep_ratio": 0.5, "window_length": 1e400}, {"role": "producer", "max_tokens": 1e400},
    {"role": "producer", "keep_ratio": 0.5, "min_retained_mass": "x"},
    {"role": "producer", "keep_ratio": 0.5, "chunk_length": []},
    "producer", [], {"role": []}, {"role": "producer", "chunks": {}}])
def test_parameters_that_make_no_sense_are_refused(given):
    with pytest.raises(InvalidArgument):
        producer = parse({"chunkkv": given}, 16)
        kept_rows(producer.spec, 1000)
