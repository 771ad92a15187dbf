"""The time that one call has."""

from __future__ import annotations

from collections.abc import Callable


class CallTime:
    """Of a call that begins now, however many replicas it asks."""

    def __init__(self, timeout: float | None, clock: Callable[[], float]):
        self._timeout, self._clock, self._begin = timeout, clock, clock()

    @property
    def elapsed(self) -> float:
        return self._clock() - self._begin

    @property
    def left(self) -> float | None:
        """None: no end."""
        return None if self._timeout is None else max(0.0, self._timeout - self.elapsed)
