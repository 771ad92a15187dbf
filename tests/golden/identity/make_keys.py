#!/usr/bin/env python3
"""Writes keys.json: test vectors of the key derivation."""
import hashlib
import json
from pathlib import Path

BLOCK_TOKENS = 64


def block_digests(tokens: list[int], extra: list[bytes]) -> list[bytes]:
    """tokens: uint32 values; extra: one byte string per block. Returns one digest per block; the key is the last."""
    digests, previous = [], b""
    for block, start in enumerate(range(0, len(tokens), BLOCK_TOKENS)):
        words = b"".join(token.to_bytes(4, "little") for token in tokens[start:start + BLOCK_TOKENS])
        previous = hashlib.sha256(previous + words + extra[block]).digest()
        digests.append(previous)
    return digests


def vector(name: str, tokens: list[int], extra: list[bytes] | None = None) -> dict:
    blocks = -(-len(tokens) // BLOCK_TOKENS)
    extra = extra or [b""] * blocks
    assert len(extra) == blocks
    digests = [digest.hex() for digest in block_digests(tokens, extra)]
    return {"name": name, "tokens": tokens, "extra": [item.hex() for item in extra], "digests": digests, "key": digests[-1]}


def spread_tokens(count: int) -> list[int]:
    """Deterministic token ids over the whole uint32 range."""
    return [(index * 2654435761 + 12345) % 2**32 for index in range(count)]


def vectors() -> list[dict]:
    cases = [vector(f"tokens_{count}", list(range(count))) for count in (1, 63, 64, 65, 200)]
    cases.append(vector("whole_uint32_range", [0, 1, 255, 256, 65535, 65536, 2**31, 2**32 - 1]))
    cases.append(vector("spread_200", spread_tokens(200)))
    cases.append(vector("extra_in_only_block", [7], [b"salt"]))
    cases.append(vector("extra_in_first_block", spread_tokens(130), [bytes(range(32)), b"", b""]))
    cases.append(vector("extra_in_every_block", spread_tokens(200), [b"a", b"\x00", bytes(range(200, 232)), b"\xff" * 5]))
    cases.append(vector("same_tokens_other_extra", spread_tokens(200), [b"a", b"\x00", bytes(range(200, 232)), b"\xff" * 4]))
    return cases


def document() -> dict:
    return {"block_tokens": BLOCK_TOKENS, "vectors": vectors()}


if __name__ == "__main__":
    Path(__file__).with_name("keys.json").write_text(json.dumps(document(), indent=1) + "\n")
