"""Lets the tests import the bench's files, and starts a server for them."""

import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent

sys.path[:0] = [str(BENCH), str(BENCH.parents[1] / "support")]

from programs import server_fixture  # noqa: E402

server = server_fixture()
