"""A line on standard error, where that is a terminal, that counts what takes longer than a second."""

import sys
import time

QUIET_SECONDS = 1.0


class Progress:
    def __init__(self, label, total):
        self._label, self._total, self._started, self._shown = label, total, time.monotonic(), False

    def __enter__(self):
        return self

    def update(self, done):
        elapsed = time.monotonic() - self._started
        if elapsed >= QUIET_SECONDS and sys.stderr.isatty():
            left = elapsed / done * (self._total - done)
            self._write(f"{self._label} {done}/{self._total}, {left:.0f} s left")

    def __exit__(self, *_):
        if self._shown:
            self._write("")

    def _write(self, text):
        self._shown = True
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()
