"""Lets the demo's tests import its files, the model's, and the tests' support; and starts a server for them."""

import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parent
QUALITY = DEMO.parent

sys.path[:0] = [str(DEMO), str(QUALITY / "model"), str(QUALITY / "support"), str(QUALITY.parent / "support")]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Address of a server with nothing in it."""
    from programs import running_server

    with running_server(tmp_path_factory.mktemp("server")) as address:
        yield address
