"""kernels_on_cuda.py where there is no GPU: the CPU against the reference."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))

from kernels_library import kernels_library  # noqa: E402, F401

pytest.importorskip("torch")


def run(*options):
    return subprocess.run([sys.executable, ROOT / "tests/gpu/kernels_on_cuda.py", *options], capture_output=True,
                          text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_the_cpu_is_the_reference():
    done = run("--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("equal  ") == len(done.stdout.splitlines()) > 40
