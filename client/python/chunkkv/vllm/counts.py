"""What the connector did, from any thread, until the engine asks for it."""

from __future__ import annotations

import threading
from typing import Any


class Counts:
    """Totals since they were last taken: plain values, so that they travel between processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[str, float] = {}

    def add(self, name: str, value: float) -> None:
        with self._lock:
            self._totals[name] = self._totals.get(name, 0) + value

    def observe(self, step: str, seconds: float) -> None:
        """A lookup, load or save that took so long."""
        self.add(f"{step}_seconds", seconds)
        self.add(f"{step}s", 1)

    def fail(self, step: str, reason: Any) -> None:
        self.add(f"failures:{step}:{reason}", 1)

    def take(self) -> dict[str, float]:
        with self._lock:
            totals, self._totals = self._totals, {}
            return totals
