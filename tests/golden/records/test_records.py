"""The golden records read by other code than the service's: plain JSON, the xxhash package, the safetensors package."""
import hashlib
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INDEX = json.loads((HERE / "index.json").read_text())
GOOD = [item["file"] for item in INDEX["good"]]
PREFIX = b'{"__metadata__":{"checksum":"'


def parts(data: bytes) -> tuple[bytes, dict, bytes]:
    """JSON text with its padding, the parsed JSON, the body."""
    start = 8 + int.from_bytes(data[:8], "little")
    return data[8:start], json.loads(data[8:start]), data[start:]


def tensor_digest(data: bytes) -> str:
    xxhash = pytest.importorskip("xxhash")
    blocks = (data[start:start + 16384] for start in range(0, len(data), 16384))
    return xxhash.xxh3_128_hexdigest(b"".join(xxhash.xxh3_64_intdigest(block).to_bytes(8, "little") for block in blocks))


@pytest.mark.parametrize("file", GOOD)
def test_header_is_aligned_and_carries_its_checksum(file):
    xxhash = pytest.importorskip("xxhash")
    text, header, _ = parts((HERE / file).read_bytes())
    assert (8 + len(text)) % 64 == 0
    assert text.startswith(PREFIX)
    zeroed = text[:len(PREFIX)] + b"0" * 16 + text[len(PREFIX) + 16:]
    assert header["__metadata__"]["checksum"] == f"{xxhash.xxh3_64_intdigest(zeroed):016x}"


@pytest.mark.parametrize("file", GOOD)
def test_digests_are_those_of_the_tensors(file):
    xxhash = pytest.importorskip("xxhash")
    _, header, body = parts((HERE / file).read_bytes())
    metadata = header.pop("__metadata__")
    found = {name: tensor_digest(body[slice(*tensor["data_offsets"])]) for name, tensor in header.items()}
    assert found == json.loads(metadata["digests"])
    in_body_order = [found[name] for name in header if not name.startswith("positions.")]
    assert xxhash.xxh3_128_hexdigest(bytes.fromhex("".join(in_body_order))) == metadata["entry_digest"]


@pytest.mark.parametrize("file", GOOD)
def test_fingerprint_is_that_of_the_model(file):
    metadata = parts((HERE / file).read_bytes())[1]["__metadata__"]
    assert ("model" in metadata) == ("fingerprint" in metadata)
    if "model" in metadata:
        assert hashlib.sha256(metadata["model"].encode()).hexdigest() == metadata["fingerprint"]


@pytest.mark.parametrize("file", GOOD)
def test_kept_positions_ascend_within_the_prompt(file):
    _, header, body = parts((HERE / file).read_bytes())
    metadata = header["__metadata__"]
    for number, group in enumerate(json.loads(metadata["groups"])):
        tensor = header.get(f"positions.{number}")
        assert (tensor is None) == (group["row_count"] == int(metadata["token_count"]))
        if tensor is None:
            continue
        rows = memoryview(body)[slice(*tensor["data_offsets"])].cast("i").tolist()
        assert len(rows) == group["row_count"]
        assert rows == sorted(set(rows)) and 0 <= rows[0] and rows[-1] < int(metadata["token_count"])


@pytest.mark.parametrize("file", GOOD)
def test_safetensors_package_opens_it(file):
    safetensors = pytest.importorskip("safetensors")
    data = (HERE / file).read_bytes()
    _, header, body = parts(data)
    header.pop("__metadata__")
    opened = dict(safetensors.deserialize(data))
    assert set(opened) == set(header)
    for name, tensor in header.items():
        assert opened[name]["shape"] == tensor["shape"]
        assert opened[name]["dtype"] == tensor["dtype"]
        assert bytes(opened[name]["data"]) == body[slice(*tensor["data_offsets"])]


def test_index_names_every_file():
    listed = {item["file"] for item in INDEX["good"] + INDEX["broken"]}
    assert listed == {path.name for path in HERE.glob("*.safetensors")}
