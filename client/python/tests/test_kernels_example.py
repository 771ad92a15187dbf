"""The example of a worker that compacts its own pages, against the real server."""

import os
import subprocess
import sys
from pathlib import Path

from kernels_library import kernels_library  # noqa: F401

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/compact_and_put/worker.py"


def test_worker(server_address):
    done = subprocess.run([sys.executable, EXAMPLE, "--server", server_address], capture_output=True, text=True,
                          timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("102 of 512 tokens in 2 lists, retained mass 0.")
    assert done.stdout.endswith("the next position is 512\n")
