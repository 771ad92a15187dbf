#!/usr/bin/env python3
"""Writes digests.json: test vectors of the tensor digest."""
import json
from pathlib import Path

import xxhash

BLOCK_BYTES = 16 * 1024
SIZES = (0, 1, 16383, 16384, 16385, 50000)


def tensor_digest(data: bytes) -> tuple[list[int], str]:
    """Returns the XXH3-64 of each block, and XXH3-128 over them (8 bytes little-endian each) as canonical hex."""
    blocks = [xxhash.xxh3_64_intdigest(data[start:start + BLOCK_BYTES]) for start in range(0, len(data), BLOCK_BYTES)]
    return blocks, xxhash.xxh3_128_hexdigest(b"".join(block.to_bytes(8, "little") for block in blocks))


def vector(size: int) -> dict:
    blocks, digest = tensor_digest(bytes((index * 131 + 7) % 256 for index in range(size)))
    return {"size": size, "block_xxh3_64": [f"{block:016x}" for block in blocks], "digest": digest}


def document() -> dict:
    return {
        "bytes": "byte i = (i * 131 + 7) mod 256",
        "block_bytes": BLOCK_BYTES,
        "digest": "XXH3-128, canonical big-endian hex, over the concatenated XXH3-64 of the blocks, each 8 bytes little-endian; "
                  "size 0 has no blocks",
        "block_xxh3_64": "each block's XXH3-64 as a number in hex (big-endian)",
        "vectors": [vector(size) for size in SIZES],
    }


if __name__ == "__main__":
    Path(__file__).with_name("digests.json").write_text(json.dumps(document(), indent=1) + "\n")
