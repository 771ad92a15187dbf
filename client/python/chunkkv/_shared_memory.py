"""Memory that is shared by its descriptor: made here, or mapped from the server."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import errors
from ._arrays import Bytes
from ._local_socket import LocalSocket

_MAP_NORESERVE = 0x4000  # mmap has the name since Python 3.13


@contextmanager
def new_memory(size_bytes: int) -> Iterator[tuple[int, mmap.mmap]]:
    """The descriptor, for as long as the context lasts, and the mapping of a memfd with every page allocated.

    Errors: InvalidArgument (BAD_REGION_SIZE), ResourceExhausted (OUT_OF_MEMORY), Unimplemented (NO_MEMFD).
    """
    if size_bytes < 1:
        raise errors.InvalidArgument("BAD_REGION_SIZE", f"{size_bytes} bytes")
    if not hasattr(os, "memfd_create"):
        raise errors.Unimplemented("NO_MEMFD", "regions are made of memfds, which this system lacks")
    # fallocate knows no end of memory but the system's.
    if size_bytes > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
        raise errors.ResourceExhausted("OUT_OF_MEMORY", f"this machine has no {size_bytes} bytes")
    descriptor = os.memfd_create("chunkkv", os.MFD_CLOEXEC)
    try:
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
            memory = _map(descriptor, size_bytes, mmap.MAP_SHARED)
        except OSError as error:
            if error.errno not in (errno.ENOMEM, errno.ENOSPC, errno.EFBIG):
                raise
            raise errors.ResourceExhausted("OUT_OF_MEMORY", f"no {size_bytes} bytes: {error}") from error
        yield descriptor, memory
    finally:
        os.close(descriptor)


def map_entry(local: LocalSocket, token: bytes, descriptor: int, size_bytes: int) -> Bytes:
    """The memory of a leased entry, for as long as an array of it lives; then the lease ends. Closes the descriptor.

    Writing is left to those who hand the arrays out: what is written stays in pages of this process, since torch knows
    no memory that is only read. Errors: DataLoss.
    """
    try:
        if size_bytes == 0:
            local.release(token)
            return np.empty(0, np.uint8)
        if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise errors.DataLoss("MALFORMED_REPLY", "the entry's memory may shrink")
        memory = _map(descriptor, size_bytes, mmap.MAP_PRIVATE | _MAP_NORESERVE)
    except BaseException as error:
        local.release(token)
        if isinstance(error, (ValueError, OverflowError)):
            raise errors.DataLoss("MALFORMED_REPLY", f"the entry's memory has not {size_bytes} bytes") from error
        raise
    finally:
        os.close(descriptor)
    weakref.finalize(memory, local.release, token).atexit = False
    return np.frombuffer(memory, np.uint8)


def _map(descriptor: int, size_bytes: int, flags: int) -> mmap.mmap:
    # A mapping needs no descriptor of its own to live.
    untracked: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
    return mmap.mmap(descriptor, size_bytes, flags=flags, **untracked)
