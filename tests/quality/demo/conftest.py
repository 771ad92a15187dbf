"""Lets the demo's tests import its files, the model's, and the tests' support; and starts a server for them."""

import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parent
QUALITY = DEMO.parent

sys.path[:0] = [str(DEMO), str(QUALITY / "model"), str(QUALITY / "support"), str(QUALITY.parent / "support")]

from programs import server_fixture  # noqa: E402

server = server_fixture()
