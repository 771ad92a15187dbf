"""A server of its own that shares memory, and how tests see what it holds."""

import contextlib
import tempfile
import time
from pathlib import Path

import programs


@contextlib.contextmanager
def sharing_server(*options, program=None):
    """The address of a server with a local socket, for as long as the context lasts."""
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has less than 108 bytes
        socket = ("--local-socket", f"{folder}/local")
        with programs.running_server(Path(folder), *socket, *options, program=program) as address:
            yield address


def held_bytes(client):
    """What the host tier's budget is charged with: entries, puts in flight, and mappings of entries that are gone."""
    host = client.stats().tiers["host"]
    return host["entry_bytes"] + host["staging_bytes"]


def eventually(is_so, seconds=10):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)
