"""How long a replica that fails comes after the others."""

from __future__ import annotations

from collections.abc import Callable

from ._timing import Timing

_JITTER = 0.2


class StandBack:
    """Longer with each failure, until it answers. Not thread-safe. random: uniform in [0, 1)."""

    def __init__(self, timing: Timing, random: Callable[[], float]):
        self._timing, self._random = timing, random
        self._interval, self._until = 0.0, float("-inf")

    def is_over(self, now: float) -> bool:
        return now >= self._until

    def note_failure(self, now: float) -> None:
        """One counts while it stands back: calls fail together."""
        if self.is_over(now):
            self._interval = min(max(2 * self._interval, self._timing.pass_over), self._timing.longest_pass_over)
            self._until = now + self._interval * (1 - _JITTER * self._random())

    def note_answer(self) -> None:
        self._interval, self._until = 0.0, float("-inf")
