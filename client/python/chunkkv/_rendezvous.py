"""Who owns a prompt, by rendezvous hashing: proto/chunkkv/v1/README.md, "Replicas"."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from .identity import PromptKey


def score(name: str, routing_key: bytes) -> int:
    """The first 8 bytes, big-endian, of SHA-256(name || 0x00 || routing key)."""
    return int.from_bytes(hashlib.sha256(name.encode() + b"\0" + routing_key).digest()[:8], "big")


def ranked(names: Iterable[str], routing_key: bytes) -> list[str]:
    """Replicas in the order in which they are asked: the owner first."""
    return sorted(names, key=lambda name: (-score(name, routing_key), name.encode()))


def routing_key_of(prompt: PromptKey) -> bytes:
    """What a prompt is routed by: its first block's digest, or its key where only that is known."""
    return prompt.block_digests[0] if prompt.block_digests else prompt.key


def routing_key_or(given: str, prompt: PromptKey) -> bytes:
    """The routing key as given, else the prompt's."""
    return given.encode() or routing_key_of(prompt)
