"""Lets the laboratory's tests import it, the model, and the tests' support; and starts a server for them."""

import sys
from pathlib import Path

QUALITY = Path(__file__).resolve().parents[1]

sys.path[:0] = [str(QUALITY), str(QUALITY / "model"), str(QUALITY / "support"), str(QUALITY.parent / "support")]

from programs import server_fixture  # noqa: E402

server = server_fixture()
