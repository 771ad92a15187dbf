"""Lets the tests import the benchmark as `gpu`, the drawing that it shares, and the golden vectors' reader."""

import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]

sys.path[:0] = [str(BENCH), str(BENCH.parent / "quality"), str(BENCH.parent / "golden")]
