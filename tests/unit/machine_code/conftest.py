"""Lets the tests import the report of the build on its kernels."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "deploy/cmake"))
