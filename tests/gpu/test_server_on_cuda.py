"""server_on_cuda.py with the host in the GPU's place: that its checks run, and that they can fail."""

import subprocess
import sys
from pathlib import Path

import programs
import pytest

pytest.importorskip("torch")
HERE = Path(__file__).resolve().parent


def run(server, *options):
    driver = programs.find_program("CHUNKKV_HOST_CUDA_DRIVER", "tests/support/host_cuda_driver/libcuda.so.1")
    return subprocess.run([sys.executable, HERE / "server_on_cuda.py", "--server", server, "--host-driver", driver,
                           *options], capture_output=True, text=True, timeout=120)


def test_every_check_passes():
    server = programs.find_program("CHUNKKV_HOST_DEVICE_SERVER", "tests/support/host_device_server")
    done = run(server)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(": ok, ")[0] for line in done.stdout.splitlines()] == [
        "compaction", "regions", "pressure", "killed_workers"]


def test_a_server_that_takes_no_device_memory_fails(tmp_path):
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\necho no GPU here >&2\nexit 1\n")
    server.chmod(0o755)
    done = run(server, "--only", "regions")
    assert done.returncode == 1 and "regions: FAILED: the server did not start: no GPU here" in done.stdout
