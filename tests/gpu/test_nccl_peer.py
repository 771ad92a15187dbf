"""nccl_peer.py and nccl_on_cuda.py on the CPU, on a library in NCCL's place whose ranks are processes with pipes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
HERE = Path(__file__).resolve().parent

LIBRARY = r"""
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

struct UniqueId { char bytes[128]; };
struct Comm { std::string folder; int rank, count; };
static const void* sent_to_itself;

static FILE* Pipe(const Comm& comm, int from, const char* mode) {
  return std::fopen((comm.folder + "/from" + std::to_string(from)).c_str(), mode);
}

extern "C" {
int ncclGetVersion(int* version) { *version = std::atoi(std::getenv("FAKE_VERSION")); return 0; }
const char* ncclGetErrorString(int) { return "a failure"; }
int ncclGetUniqueId(UniqueId* id) { return std::snprintf(id->bytes, 128, "%s", std::getenv("FAKE_PIPES")) > 0 ? 0 : 3; }
int ncclCommInitRank(void** comm, int count, UniqueId id, int rank) {
  *comm = new Comm{id.bytes, rank, count};
  return std::getenv("FAKE_FAILS") ? 2 : 0;
}
int ncclCommDestroy(void* comm) { delete static_cast<Comm*>(comm); return 0; }
int ncclGroupStart() { return 0; }
int ncclGroupEnd() { return 0; }
int ncclSend(const void* memory, size_t count, int type, int peer, void* comm, void*) {
  const Comm& own = *static_cast<Comm*>(comm);
  if (type != 1) return 4;
  if (peer == own.rank) { sent_to_itself = memory; return 0; }
  FILE* pipe = Pipe(own, own.rank, "w");
  const bool is_sent = std::fwrite(memory, 1, count, pipe) == count;
  std::fclose(pipe);
  return is_sent ? 0 : 6;
}
int ncclRecv(void* memory, size_t count, int type, int peer, void* comm, void*) {
  const Comm& own = *static_cast<Comm*>(comm);
  if (type != 1) return 4;
  if (peer == own.rank) { std::memcpy(memory, sent_to_itself, count); return 0; }
  FILE* pipe = Pipe(own, peer, "r");
  const bool has_come = std::fread(memory, 1, count, pipe) == count;
  std::fclose(pipe);
  if (std::getenv("FAKE_DAMAGE")) static_cast<char*>(memory)[count - 1] ^= 1;
  return has_come ? 0 : 6;
}
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "libnccl.so.2"
    subprocess.run(["g++", "-x", "c++", "-", "-shared", "-fPIC", "-o", path], input=LIBRARY, text=True, check=True)
    return path


def run(library, folder, version=22707, **environment):
    for rank in (0, 1):
        os.mkfifo(folder / f"from{rank}")
    return subprocess.run(
        [sys.executable, HERE / "nccl_on_cuda.py", "--device", "cpu", "--library", library, "--most-bytes", "1031"],
        env=os.environ | {"FAKE_PIPES": str(folder), "FAKE_VERSION": str(version)} | environment, text=True,
        timeout=120, capture_output=True)


@pytest.mark.parametrize("version, way", [(22707, "two NCCL_HOSTIDs"), (23000, "NCCL_MULTI_RANK_GPU_ENABLE")])
def test_it_says_what_ran(library, tmp_path, version, way):
    done = run(library, tmp_path, version)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"NCCL {version}"
    assert lines[1].startswith("one rank to itself: ok")
    assert lines[2].startswith(f"two processes on one GPU, by {way}") and lines[2].endswith(": ok")


def test_damaged_bytes_are_found(library, tmp_path):
    done = run(library, tmp_path, FAKE_DAMAGE="1")
    assert done.returncode == 1
    assert "wrong" in done.stderr


def test_a_failure_is_told_in_the_words_of_nccl(library, tmp_path):
    done = run(library, tmp_path, FAKE_FAILS="1")
    assert done.returncode == 1
    assert "ncclCommInitRank: a failure" in done.stderr


def test_it_is_skipped_without_nccl(tmp_path):
    done = run(tmp_path / "libnccl.so.2", tmp_path)
    assert done.returncode == 77
    assert "libnccl.so.2" in done.stdout
