"""What a user of vLLM may set: kv_connector_extra_config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import InvalidArgument


@dataclass(frozen=True)
class Options:
    """Times in seconds.

    address: host:port of the service; several, separated by commas, or dns:///host:port, are replicas. tls_ca: file of
    the authority of the service's certificate; empty: plain text. tls_certificate, tls_key: files of this client's own.
    token_file: holds a bearer token. share_group: whose entries are used and stored. model_revision: of the weights,
    where files do not tell it. load, save: whether prefixes come from the service, and go there. ttl_seconds: life of
    what is saved; 0: until evicted. lookup_timeout, load_timeout, save_timeout: of one request's each; what takes longer
    is given up, and the tokens are computed. wait_timeout: of a load that another engine's prefill has to come before.
    hold_seconds: how long what a lookup found is kept for the load.
    min_load_tokens: fewer are computed rather than loaded. save_buffer_bytes: of rows on their way to the service;
    prefills beyond it are not saved. gpu_buffer_bytes: of the GPU's memory, lent to a service on this host for rows either
    way. threads: of loads, and as many of saves.
    """

    address: str = "127.0.0.1:7421"
    tls_ca: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    token_file: str = ""
    share_group: str = ""
    local_socket: bool = True
    model_revision: str = ""
    load: bool = True
    save: bool = True
    ttl_seconds: float = 0.0
    lookup_timeout: float = 0.5
    load_timeout: float = 10.0
    save_timeout: float = 60.0
    wait_timeout: float = 30.0
    hold_seconds: float = 10.0
    min_load_tokens: int = 1
    save_buffer_bytes: int = 1 << 30
    gpu_buffer_bytes: int = 0
    threads: int = 2

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Errors: InvalidArgument (OPTION) for names and types that are not there."""
        types = {field.name: type(field.default) for field in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in types:
                raise InvalidArgument("OPTION", f"kv_connector_extra_config has no {name!r}; there are {[*types]}")
            if types[name] is float and type(value) is int:
                value = float(value)
            if type(value) is not types[name]:
                raise InvalidArgument("OPTION", f"{name} is {value!r}, not of type {types[name].__name__}")
            if types[name] in (int, float) and value < 0:
                raise InvalidArgument("OPTION", f"{name} is {value}")
            if name == "threads" and not value:
                raise InvalidArgument("OPTION", "threads is 0")
            values[name] = value
        return cls(**values)
