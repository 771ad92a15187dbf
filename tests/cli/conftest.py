"""The `chunkkv` and `chunkkv-server` programs, as the tests run them."""
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "golden")]


def find_program(variable: str, inside_build: str) -> Path:
    if variable in os.environ:
        return Path(os.environ[variable])
    built = sorted(ROOT.glob(f"build/*/{inside_build}"), key=lambda path: path.stat().st_mtime)
    if not built:
        pytest.fail(f"{inside_build} is not built; set {variable} or build it")
    return built[-1]


@dataclass
class Finished:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self) -> dict:
        """The error object that --json prints."""
        return json.loads(self.err)["error"]


@pytest.fixture(scope="session")
def cli():
    """Runs `chunkkv` with arguments; returns what it printed and its exit code."""
    program = find_program("CHUNKKV_CLI", "client/cli/chunkkv")

    def run(*arguments, timeout=120) -> Finished:
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Address of a server with nothing in it but what the tests put."""
    program = find_program("CHUNKKV_SERVER", "service/chunkkv-server")
    folder = tmp_path_factory.mktemp("server")
    port_file = folder / "port"
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "--listen", "127.0.0.1:0", "--port-file", port_file], stderr=log)
    deadline = time.monotonic() + 30
    while not (port_file.exists() and port_file.read_text().strip()):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail("the server did not start: " + (folder / "log").read_text()[-2000:])
        time.sleep(0.02)
    yield f"127.0.0.1:{port_file.read_text().strip()}"
    process.terminate()
    assert process.wait(timeout=30) == 0
