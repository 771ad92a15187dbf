"""The built `chunkkv` and `chunkkv-server` programs, as Python tests run them."""

import contextlib
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def find_program(variable: str, inside_build: str) -> Path:
    """The program that the environment variable names, else the newest that was built."""
    if variable in os.environ:
        return Path(os.environ[variable])
    built = sorted(ROOT.glob(f"build/*/{inside_build}"), key=lambda path: path.stat().st_mtime)
    if not built:
        pytest.fail(f"{inside_build} is not built; set {variable} or build it")
    return built[-1]


@contextlib.contextmanager
def running_server(folder: Path, *options, program: Path | None = None):
    """Address of a server of its own, on a free port, that must end well; `folder` takes its log. program: another one
    than chunkkv-server."""
    program = program or find_program("CHUNKKV_SERVER", "service/chunkkv-server")
    port_file = folder / "port"
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "--listen", "127.0.0.1:0", "--port-file", port_file, *options], stderr=log)
    deadline = time.monotonic() + 30
    while not (port_file.exists() and port_file.read_text().strip()):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail("the server did not start: " + (folder / "log").read_text()[-2000:])
        time.sleep(0.02)
    try:
        yield f"127.0.0.1:{port_file.read_text().strip()}"
    finally:
        process.terminate()
        code = process.wait(timeout=30)
    assert code == 0, (folder / "log").read_text()[-2000:]


@contextlib.contextmanager
def server_at(address):
    """`address`; where there is none, that of a server of its own."""
    if address:
        yield address
        return
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as own:
        yield own


def server_fixture(scope="session"):
    """A fixture: address of a server that starts with nothing in it."""
    @pytest.fixture(scope=scope)
    def server(tmp_path_factory):
        with running_server(tmp_path_factory.mktemp("server")) as address:
            yield address

    return server
