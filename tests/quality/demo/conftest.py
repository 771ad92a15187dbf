"""Lets the demo's tests import its files and the model's."""

import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parent

sys.path[:0] = [str(DEMO), str(DEMO.parent / "model")]
