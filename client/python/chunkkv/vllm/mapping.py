"""Entries in the service's own memory, where it is on this host."""

from __future__ import annotations

from typing import Any

from .. import errors
from ..client import Client

_NOT_HERE = (errors.FailedPrecondition, errors.PermissionDenied)


class Mapping:
    """Maps entries where that works, which is asked at the first entry, and again where the service was gone."""

    def __init__(self, client: Any, is_wanted: bool):
        self._client = client
        self._state: bool | None = None if is_wanted and isinstance(client, Client) else False  # None: not asked yet

    @property
    def is_there(self) -> bool:
        if self._state is None:
            try:
                offered = self._client.capabilities(timeout=1.0)
                self._state = bool(offered.local_socket) and "mapping" in offered.transports
            except errors.Error:
                return False
        return self._state

    def get(self, arguments: dict[str, Any]) -> Any:
        """The entry; None where it has to be sent, as from now on all. Errors: those of Client.get."""
        try:
            return self._client.get(**arguments, accept="exact", mapped=True)
        except _NOT_HERE:
            self._state = False
        except errors.Unavailable:
            self._state = None
        return None
