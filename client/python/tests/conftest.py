"""Fixtures: a fake service in this process, and the real server where it has been built."""

import os
import subprocess
import sys
import time
from pathlib import Path

import chunkkv
import pytest

TESTS = Path(__file__).resolve().parent
REPOSITORY = TESTS.parents[2]
sys.path[:0] = [str(TESTS), str(REPOSITORY / "tests" / "support")]

from fake_service import FakeService  # noqa: E402
from local_server import sharing_server  # noqa: E402
from replica_cluster import NAME, Cluster  # noqa: E402


@pytest.fixture
def fake():
    service = FakeService()
    yield service
    service.stop()


@pytest.fixture
def fake_client(fake):
    with chunkkv.Client(fake.address) as client:
        yield client


@pytest.fixture(scope="session")
def golden():
    return REPOSITORY / "tests" / "golden"


def require_server():
    binary = Path(os.environ.get("CHUNKKV_SERVER", REPOSITORY / "build/release/service/chunkkv-server"))
    if not binary.exists():
        pytest.skip(f"no server at {binary}: build chunkkv-server, or set CHUNKKV_SERVER")
    return binary


@pytest.fixture(scope="session")
def server_address(tmp_path_factory):
    """The address of a server of this session. CHUNKKV_SERVER names its binary."""
    binary = require_server()
    port_file = tmp_path_factory.mktemp("server") / "port"
    with (port_file.parent / "log").open("wb") as log:
        command = [binary, "--listen", "127.0.0.1:0", "--port-file", port_file]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not (port_file.exists() and port_file.read_text().strip()):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not start: {(port_file.parent / 'log').read_text()}")
            time.sleep(0.02)
        yield f"127.0.0.1:{port_file.read_text().strip()}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def client(server_address):
    with chunkkv.Client(server_address) as client:
        yield client


@pytest.fixture(scope="session")
def sharing_address():
    """The address of a server of this session that shares memory and has its entries mapped."""
    require_server()
    with sharing_server("--map-entries") as address:
        yield address


@pytest.fixture
def sharing_client(sharing_address):
    with chunkkv.Client(sharing_address) as client:
        yield client


@pytest.fixture
def region(sharing_client):
    with sharing_client.allocate_region(4 << 20) as region:
        yield region


@pytest.fixture
def cluster(tmp_path):
    """Two replicas, and a name for them."""
    require_server()
    cluster = Cluster(tmp_path)
    for _ in range(2):
        cluster.start()
    yield cluster
    cluster.stop_all()


@pytest.fixture
def routed(cluster):
    with chunkkv.RoutedClient(NAME, **cluster.settings) as client:
        yield client
