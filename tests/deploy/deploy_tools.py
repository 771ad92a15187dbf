"""Programs that the deployment is tested with: run.sh builds or installs them, and tests that need one skip without."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/chunkkv"
CACHE = Path(os.environ.get("CHUNKKV_DEPLOY_CACHE") or Path.home() / ".cache/chunkkv-deploy")


def find_tool(name: str) -> Path:
    """A program of run.sh's cache, else of PATH."""
    built = CACHE / "bin" / name
    found = built if built.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not there: tests/deploy/run.sh builds or installs it")
    return Path(found)


def run(program, *arguments, check=True, **options) -> subprocess.CompletedProcess:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)
    assert not check or done.returncode == 0, f"{program} {arguments}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
    return done
