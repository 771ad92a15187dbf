"""The built `chunkkv` and `chunkkv-server` programs, as Python tests run them."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SANITIZED = {"asan", "tsan"}  # builds that only those get who name them: they are slow


def newest_built(inside_build: str) -> Path | None:
    """Of the builds without sanitizers."""
    built = [path for path in ROOT.glob(f"build/*/{inside_build}")
             if path.relative_to(ROOT / "build").parts[0] not in SANITIZED]
    return max(built, key=lambda path: path.stat().st_mtime, default=None)


def find_program(variable: str, inside_build: str) -> Path:
    """The program that the environment variable names, else the newest that was built without sanitizers."""
    if variable in os.environ:
        return Path(os.environ[variable])
    built = newest_built(inside_build)
    if built is None:
        pytest.fail(f"{inside_build} is not built; set {variable} or build it")
    return built


def free_ports(count):
    """Ports of loopback that nobody had a moment ago, each another: for programs that cannot be given port 0."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


def answers(url) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def without_own_variables():
    """The environment less what tests, or a developer, mean by variables that the server would take for options."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CHUNKKV_")}


def start_server(folder: Path, *options, program: Path | None = None, host="127.0.0.1"):
    """(process, address) of a server of its own, on a free port; `folder` takes its log. program: another one than
    chunkkv-server. host: what it listens on; the address is loopback's all the same."""
    program = program or find_program("CHUNKKV_SERVER", "service/chunkkv-server")
    port_file = folder / "port"
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "--listen", f"{host}:0", "--port-file", port_file, *options], stderr=log,
                                   env=without_own_variables())
    deadline = time.monotonic() + 30
    while not (port_file.exists() and port_file.read_text().strip()):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail("the server did not start: " + (folder / "log").read_text()[-2000:])
        time.sleep(0.02)
    return process, f"127.0.0.1:{port_file.read_text().strip()}"


@contextlib.contextmanager
def running_server(folder: Path, *options, program: Path | None = None, host="127.0.0.1"):
    """Address of a server (see start_server) that must end well."""
    process, address = start_server(folder, *options, program=program, host=host)
    try:
        yield address
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
