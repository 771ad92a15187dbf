"""When a routed client does what nobody has asked it for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """In seconds. resolve_every: how old a name's addresses may be. pass_over: how long a replica that failed comes
    after the others, twice as long after each further failure, up to longest_pass_over, until it answers; each time up
    to a fifth less, at random. pass_over is also how often at most a failure has names resolved again."""

    resolve_every: float = 5.0
    pass_over: float = 1.0
    longest_pass_over: float = 30.0
