"""Digests are the service's: against the golden vectors."""

import json

from chunkkv import digests


def test_tensor_digests_equal_golden_vectors(golden):
    document = json.loads((golden / "digest" / "digests.json").read_text())
    assert document["block_bytes"] == digests.BLOCK_BYTES
    for vector in document["vectors"]:
        data = bytes((index * 131 + 7) % 256 for index in range(vector["size"]))
        assert digests.tensor_digest(data).hex() == vector["digest"], vector["size"]
        assert digests.tensor_digest(memoryview(bytearray(data))).hex() == vector["digest"]


def test_part_checksum_is_xxh3_64(golden):
    vector = json.loads((golden / "digest" / "digests.json").read_text())["vectors"][1]
    assert f"{digests.part_checksum(bytes([7])):016x}" == vector["block_xxh3_64"][0]
