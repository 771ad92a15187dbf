"""Lets the laboratory's tests import it, the model, and the tests' support; and starts a server for them."""

import sys
from pathlib import Path

import pytest

QUALITY = Path(__file__).resolve().parents[1]

sys.path[:0] = [str(QUALITY), str(QUALITY / "model"), str(QUALITY / "support"), str(QUALITY.parent / "support")]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Address of a server with nothing in it."""
    from programs import running_server

    with running_server(tmp_path_factory.mktemp("server")) as address:
        yield address
