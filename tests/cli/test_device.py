"""Where `chunkkv compact` and the server compact: --device."""
import subprocess

import pytest

from chunkkv import Client
from command_line import GOLDEN
from programs import find_program, running_server

SOURCE = sorted((GOLDEN / "compaction").glob("chunk*.in.safetensors"))[0]
FLAGS = ["--policy", "chunk_kv", "--keep-ratio", "0.5", "--window-length", "8"]


@pytest.fixture
def compact(cli, tmp_path):
    def run(*options):
        return cli("compact", "--in", SOURCE, "--out", tmp_path / "out.safetensors", "--json", *FLAGS, *options)
    return run


@pytest.fixture
def has_gpu(compact):
    return compact("--device", "cuda").code == 0


def test_the_first_gpu_is_taken_where_there_is_one(compact, has_gpu):
    assert compact().json["device"] == compact("--device", "auto").json["device"] == ("cuda" if has_gpu else "cpu")


def test_the_device_that_was_named_is_taken(compact):
    assert compact("--device", "cpu").json["device"] == "cpu"
    assert compact("--device", "reference").json["device"] == "reference"


def test_a_gpu_that_is_not_there_is_refused(compact):
    done = compact("--device", "cuda:4095")
    assert done.error["reason"] in ("NO_CUDA", "NO_CUDA_DEVICE") and done.code != 0


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", ""])
def test_a_device_of_no_such_name_is_refused(compact, device):
    assert compact("--device", device).error["reason"] == "BAD_DEVICE"


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_the_server_says_its_device(tmp_path, has_gpu, device):
    with running_server(tmp_path, "--device", device) as address, Client(address) as client:
        (said,) = client.capabilities().devices
        assert said["kind"] == ("cuda" if device == "auto" and has_gpu else "cpu")


@pytest.mark.parametrize("device", ["cuda:4095", "gpu"])
def test_the_server_does_not_start_without_its_device(device):
    done = subprocess.run([find_program("CHUNKKV_SERVER", "service/chunkkv-server"), "--listen", "127.0.0.1:0",
                           "--device", device], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "device" in done.stderr
