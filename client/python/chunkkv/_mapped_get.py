"""Gets that map the entry's memory instead of receiving it."""

from __future__ import annotations

import os

from . import errors
from ._get import GetReader
from ._local_socket import MAX_BODY_BYTES, LocalSocket
from ._requests import GetCall
from ._shared_memory import map_entry
from .results import Entry


def header_over_local_socket(local: LocalSocket, call: GetCall, reader: GetReader, timeout: float | None) -> int | None:
    """Asks over the local socket alone, which is faster than a call: the descriptor of the entry's memory, whose header
    `reader` then has; None where the get must be asked over gRPC."""
    request = call.for_local_socket()
    if request is None or len(request) > MAX_BODY_BYTES:
        return None
    try:
        answer = local.get(request, timeout)
    except errors.Error:
        return None  # gRPC tells why
    try:
        reader.take_header(answer.body)
    except BaseException:
        os.close(answer.descriptor)
        local.release(answer.token)
        raise
    return answer.descriptor


def entry_of_mapping(local: LocalSocket, reader: GetReader, descriptor: int | None, verify: bool,
                     timeout: float | None) -> Entry:
    """The entry whose header `reader` has, over its memory; without a descriptor it is fetched. Errors: NotFound
    (TOKEN_NOT_FOUND: fetched too late), DataLoss, Unavailable."""
    mapping, header = reader.mapping, reader.finish()
    if descriptor is None:
        descriptor = local.fetch(mapping.token, timeout)
    memory = map_entry(local, mapping.token, descriptor, mapping.size_bytes)
    return Entry(**vars(header), layers=reader.layers_of_mapping(memory, verify))
