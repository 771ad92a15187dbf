"""Digests as the service computes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xxhash

BLOCK_BYTES = 16 * 1024


def part_checksum(data: Any) -> int:
    """XXH3-64 of a part's bytes (any contiguous buffer)."""
    return int(xxhash.xxh3_64_intdigest(data))


def tensor_digest(data: Any) -> bytes:
    """XXH3-128, canonical, over the little-endian XXH3-64s of consecutive 16 KiB blocks; 16 bytes."""
    view = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
    hash_block = xxhash.xxh3_64_intdigest
    blocks = [hash_block(view[at:at + BLOCK_BYTES]) for at in range(0, len(view), BLOCK_BYTES)]
    return bytes(xxhash.xxh3_128_digest(np.array(blocks, "<u8").tobytes()))


def combined_digest(digests: Iterable[bytes]) -> bytes:
    """XXH3-128 over digests in order: of an entry, or of K and V as sent."""
    return bytes(xxhash.xxh3_128_digest(b"".join(digests)))
