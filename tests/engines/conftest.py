"""Engines and services for tests; without vLLM none of them is collected."""
import importlib.util
import os
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parents[1] / "client/python/tests")]
collect_ignore_glob = [] if importlib.util.find_spec("vllm") else ["test_*"]

from programs import running_server  # noqa: E402

LATEST_BEGIN = float(os.environ.get("CHUNKKV_LATEST_BEGIN", "inf"))  # in seconds since 1970
LONGEST = [HERE / "test_failures.py", HERE / "test_lossless.py"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path) if item.path in LONGEST else -1)


def pytest_runtest_setup():
    if time.time() > LATEST_BEGIN:
        pytest.skip("its time is over")


@pytest.fixture
def service(tmp_path):
    """Address of a server with nothing in it."""
    with running_server(tmp_path, "--host-memory", "2GiB") as address:
        yield address


@pytest.fixture
def start_engine(tmp_path):
    """Starts engines that end with the test."""
    from engine import Engine

    engines = []

    def start(model, **settings):
        engines.append(Engine(model, tmp_path / f"engine-{len(engines)}.log", **settings))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()
