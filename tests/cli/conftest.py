"""The `chunkkv` and `chunkkv-server` programs, as the tests run them."""
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "golden"), str(ROOT / "tests" / "support")]

from programs import find_program, server_fixture  # noqa: E402

server = server_fixture()


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
