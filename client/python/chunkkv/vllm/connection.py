"""The engine's connection to the service, and whether it is worth asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from .. import errors
from ..client import Client
from ..routing import RoutedClient
from .options import Options


def connect(options: Options) -> Client | RoutedClient:
    """A client as the options say; it connects at the first call. Errors: OSError, of files that are not there."""
    credentials = None
    if options.tls_ca:
        pair = [Path(name).read_bytes() if name else None for name in (options.tls_key, options.tls_certificate)]
        credentials = grpc.ssl_channel_credentials(Path(options.tls_ca).read_bytes(), *pair)
    metadata = []
    if options.token_file:
        metadata.append(("authorization", f"Bearer {Path(options.token_file).read_text().strip()}"))
    if options.share_group:
        metadata.append(("chunkkv-share-group", options.share_group))
    addresses = [address.strip() for address in options.address.split(",")]
    if len(addresses) > 1 or addresses[0].startswith("dns:///"):
        return RoutedClient(addresses, credentials=credentials, metadata=metadata)
    return Client(addresses[0], credentials=credentials, metadata=metadata)


class Health:
    """Whether the service is asked: after a failure that says it is not there, not for an interval that doubles."""

    FIRST_SECONDS, LONGEST_SECONDS = 0.5, 30.0

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock, self._lock = clock, threading.Lock()
        self._pause, self._until = 0.0, 0.0

    @property
    def is_well(self) -> bool:
        return self._clock() >= self._until

    def note(self, failure: BaseException | None) -> None:
        """How a call ended; None: well."""
        with self._lock:
            if failure is None:
                self._pause = self._until = 0.0
            elif is_absence(failure) and self.is_well:
                self._pause = min(2 * self._pause or self.FIRST_SECONDS, self.LONGEST_SECONDS)
                self._until = self._clock() + self._pause


def is_absence(failure: BaseException) -> bool:
    return isinstance(failure, (errors.Unavailable, errors.DeadlineExceeded))


def reason_of(failure: BaseException) -> Any:
    """What metrics call it."""
    return getattr(failure, "reason", "") or type(failure).__name__
