"""What of a prompt the service has: a chain of entries, each of which begins where the one before it ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from .. import errors
from ..identity import PromptKey
from ..operations import Query
from .connection import Health, reason_of
from .counts import Counts
from .model import EngineModel
from .options import Options
from .plan import Segment


class Lookups:
    """Asks in threads of its own. A failure finds nothing. hold_seconds: how long what was found is kept; 0: not."""

    def __init__(self, client: Any, model: EngineModel, options: Options, counts: Counts, hold_seconds: float):
        self._client, self._model, self._options, self._counts = client, model, options, counts
        self._hold_seconds = hold_seconds
        self._health = Health()
        self._fingerprint = model.identity.fingerprint()
        self._threads = ThreadPoolExecutor(options.threads, thread_name_prefix="chunkkv-lookup")

    def start(self, digests: Sequence[bytes], first_block: int) -> Future[tuple[Segment, ...]]:
        """Looks for the chain from a block of the prompt on. digests: of all its blocks."""
        return self._threads.submit(self._find, tuple(digests), first_block, time.monotonic())

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _find(self, digests: tuple[bytes, ...], block: int, started: float) -> tuple[Segment, ...]:
        segments: list[Segment] = []
        if not self._health.is_well:
            self._counts.fail("lookup", "PAUSED")
            return ()
        try:
            while block < len(digests):
                left = self._options.lookup_timeout - (time.monotonic() - started)
                if left <= 0:
                    self._counts.fail("lookup", "LOOKUP_TIMEOUT")
                    break
                found = self._segment(digests, block, left)
                if found is None:
                    break
                segments.append(found)
                block = found.end // self._model.block_size
            self._health.note(None)
        except Exception as failure:  # whatever it is, the engine goes on without these rows
            self._health.note(failure)
            self._counts.fail("lookup", reason_of(failure))
        self._counts.observe("lookup", time.monotonic() - started)
        return tuple(segments)

    def _segment(self, digests: tuple[bytes, ...], block: int, timeout: float) -> Segment | None:
        size = self._model.block_size
        rest = digests[block:]
        query = Query(
            self._fingerprint, key=PromptKey(rest[-1], rest, size, len(rest) * size), accept="exact",
            shards=self._model.shards, hold_seconds=self._hold_seconds, routing_key=digests[0].hex())
        (match,) = self._client.find([query], timeout=timeout)
        if isinstance(match, errors.Error):
            raise match
        covered = 0 if match is None else match.covered_tokens // size * size
        if not covered:
            return None
        begin = block * size
        return Segment(tuple(entry.key for entry in match.entries), tuple(entry.entry_id for entry in match.entries),
                       match.lease_id, begin, begin, begin + covered)
