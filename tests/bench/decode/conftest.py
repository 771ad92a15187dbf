"""Lets the tests import the bench's files, and starts a server for them."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent

sys.path[:0] = [str(BENCH), str(BENCH.parents[1] / "support")]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Address of a server with nothing in it."""
    from programs import running_server

    with running_server(tmp_path_factory.mktemp("server")) as address:
        yield address
