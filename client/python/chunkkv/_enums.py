"""Enumerations of the wire as lower-case names: POLICY_CHUNK_KV is "chunk_kv"."""

from __future__ import annotations

from typing import Any

from .errors import InvalidArgument


def to_wire(enum: Any, prefix: str, name: str | None, field: str) -> Any:
    """The number of `name`; 0 (unset) for None. Errors: InvalidArgument (UNKNOWN_NAME)."""
    if name is None:
        return 0
    number = dict(enum.items()).get(prefix + str(name).upper())
    if not number:
        known = ", ".join(from_wire(enum, prefix, value) for value in enum.values() if value)
        raise InvalidArgument("UNKNOWN_NAME", f"{field} {name!r} is none of {known}")
    return number


def from_wire(enum: Any, prefix: str, number: int) -> str:
    """The name of `number`; empty for 0, the number itself where this client does not know it."""
    if number == 0:
        return ""
    names = {value: key for key, value in enum.items()}
    return str(names.get(number, number)).removeprefix(prefix).lower()
