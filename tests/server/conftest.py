"""The server program as an operator meets it: certificates, tenants, options, the admin port, the log."""
import sys
from pathlib import Path

import grpc
import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "support"), str(ROOT / "client" / "python" / "tests")]

from chunkkv.v1 import kv_cache_service_pb2_grpc  # noqa: E402
from judgement import expect_well  # noqa: E402


@pytest.fixture
def stub(server):
    with grpc.insecure_channel(server) as channel:
        yield kv_cache_service_pb2_grpc.KvCacheServiceStub(channel)


@pytest.fixture
def is_well_afterwards(server):
    yield
    expect_well(server)
