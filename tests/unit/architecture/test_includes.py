"""Who may include whom: the dependency rule of ARCHITECTURE.md, read from the #include lines."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
SOURCES = sorted(
    path
    for folder in ("kernels", "service", "client", "tests")
    for pattern in ("*.h", "*.cc", "*.cu", "*.cuh")
    for path in (ROOT / folder).rglob(pattern)
)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

# Module -> modules it may include, besides itself. A module is the longest prefix of a path that stands here.
ALLOWED = {
    "kernels/include": set(),
    "kernels": {"kernels/common", "kernels/include"},  # any other folder in it
    "kernels/common": {"kernels/include"},
    "kernels/plan": {"kernels/include"},
    "kernels/cpu": {"kernels/common", "kernels/include"},
    "kernels/simt": {"kernels/common"},
    "kernels/cuda": {"kernels/simt", "kernels/common", "kernels/include"},
    "service/base": {"kernels/include"},
    "service/memory": {"service/base", "kernels/include"},
    "service/format": {"service/memory", "service/base", "kernels/include"},
    "service/store": {"service/format", "service/memory", "service/base", "kernels/include"},
    "service/transfer": {"service/format", "service/memory", "service/base", "kernels/include"},
    "service/transfer/nccl": {"service/format", "service/base", "kernels/include"},
    "service/session": {
        "service/store", "service/transfer", "service/transfer/nccl", "service/format", "service/memory", "service/base",
        "kernels/include",
    },
    "service/security": {"service/format", "service/base", "kernels/include"},
    "service/operation": {"service/format", "service/base", "kernels/include"},
    "service/rpc": {
        "service/session", "service/transfer", "service/transfer/nccl", "service/store", "service/format",
        "service/memory", "service/base", "service/security", "service/operation", "kernels/include", "proto",
    },
    # server.*, options.* and main.cc
    "service": {
        "service/rpc", "service/session", "service/transfer", "service/transfer/nccl", "service/store",
        "service/format", "service/memory", "service/base", "service/security", "service/operation", "kernels/include",
        "proto",
    },
    "client/cpp/include": {"service/format", "kernels/include"},
    "client/tune": {"service/format", "service/base", "kernels/include"},
    "client": {"client/cpp/include", "client/tune", "service/format", "service/base", "kernels/include", "proto"},
    # Anything; those that may use CUDA itself apart.
    "tests": None,
    "tests/bench": None,
    "tests/gpu": None,
}
TESTS = {"tests", "tests/bench", "tests/gpu"}
CUDA = r"^(cuda|cub/|thrust/|cooperative_groups)"

# Libraries that only some modules may include.
RESTRICTED = {
    r"^(grpc|grpcpp)/": {"service/rpc", "client"} | TESTS,
    r"^google/protobuf/": {"service/rpc", "client"} | TESTS,
    r"^chunkkv/v1/": {"service/rpc", "client"} | TESTS,
    r"^hwy/": {"kernels/cpu"} | TESTS,
    r"^xxh": {"service/format"} | TESTS,
    CUDA: {"kernels/cuda", "tests/bench", "tests/gpu"},
    r"^nccl": {"service/transfer/nccl"} | TESTS,
    r"^openssl/": {"service/security", "service/format", "service/store"} | TESTS,
    r"^prometheus/": {"service/operation"} | TESTS,
    r"^httplib": {"service/operation"} | TESTS,
    r"^absl/synchronization/": set(),
}
RESTRICTED_FILES = {
    r"^(grpc|grpcpp)/": {"service/server.cc"},
    r"^chunkkv/v1/": {"service/server.cc"},
    r"^xxh": {"kernels/reference/digest.cc", "kernels/cpu/digest.cc"},
    CUDA: {"kernels/simt/device.h"},
}


def module_of(path: str) -> str | None:
    """The module that a path relative to the repository belongs to."""
    matches = [module for module in ALLOWED if path == module or path.startswith(module + "/")]
    return max(matches, key=len) if matches else None


def resolve(included: str) -> str | None:
    """The module of an included name; None for the standard library and other libraries."""
    if included.startswith("chunkkv/kernels/"):
        return "kernels/include"
    if included.startswith("chunkkv/client/"):
        return "client/cpp/include"
    if included.startswith("chunkkv/v1/"):
        return "proto"
    return module_of(included)


def edges(path: pathlib.Path):
    for match in INCLUDE.finditer(path.read_text()):
        yield match.group(2)


def violations(relative: str, includes) -> list[str]:
    """Texts of the includes of the file `relative` that the rule forbids."""
    module = module_of(relative)
    found = []
    for included in includes:
        target = resolve(included)
        allowed = ALLOWED[module]
        if allowed is not None and target not in (None, module) and target not in allowed:
            found.append(f"{relative}: {module} may not include {included}")
        for pattern, modules in RESTRICTED.items():
            if re.match(pattern, included) and module not in modules:
                if relative not in RESTRICTED_FILES.get(pattern, set()):
                    found.append(f"{relative}: {included} is not for {module}")
    return found


def test_every_include_is_an_allowed_edge():
    assert SOURCES
    found = [text for path in SOURCES for text in violations(str(path.relative_to(ROOT)), edges(path))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "relative, included",
    [
        ("service/format/record.cc", "service/store/entry.h"),
        ("service/store/index.h", "service/session/put_session.h"),
        ("service/session/put_session.cc", "grpcpp/grpcpp.h"),
        ("service/session/put_session.cc", "chunkkv/v1/put.pb.h"),
        ("kernels/cpu/score.cc", "service/base/executor.h"),
        ("kernels/cpu/score.cc", "kernels/cuda/rows.h"),
        ("kernels/reference/score.cc", "kernels/cpu/score.h"),
        ("kernels/reference/score.cc", "kernels/cuda/rows.h"),
        ("kernels/cpu/score.cc", "cuda_runtime.h"),
        ("kernels/include/chunkkv/kernels/cuda.h", "cuda_runtime.h"),
        ("kernels/cuda/score_kernel.h", "hwy/highway.h"),
        ("kernels/cuda/digest_kernel.h", "xxhash.h"),
        ("kernels/cpu/score.cc", "xxhash.h"),
        ("service/store/index.h", "xxhash.h"),
        ("kernels/simt/simt.h", "cuda_fp16.h"),
        ("kernels/simt/simt.h", "kernels/cuda/rows.h"),
        ("service/session/put_session.cc", "kernels/cuda/rows.h"),
        ("service/session/put_session.cc", "kernels/simt/simt.h"),
        ("service/transfer/served_layer.cc", "nccl.h"),
        ("service/transfer/nccl/channel.cc", "cuda_runtime.h"),
        ("service/rpc/put_reactor.cc", "nccl.h"),
        ("tests/unit/kernels/rotation_test.cc", "cuda_runtime.h"),
        ("client/cpp/include/chunkkv/client/client.h", "grpcpp/channel.h"),
        ("client/cli/put.cc", "service/store/entry_store.h"),
        ("client/tune/agreement_meter.cc", "client/cli/prompt_file.h"),
        ("service/base/mutex.h", "absl/synchronization/mutex.h"),
    ],
)
def test_a_forbidden_edge_is_found(relative, included):
    assert violations(relative, [included])


@pytest.mark.parametrize(
    "relative, included",
    [
        ("kernels/simt/device.h", "cuda_fp16.h"),
        ("kernels/cuda/score_kernel.h", "kernels/simt/simt.h"),
        ("kernels/cuda/cuda_compactor.cc", "kernels/common/run.h"),
        ("kernels/reference/digest.cc", "xxhash.h"),
        ("kernels/cpu/digest.cc", "xxh_x86dispatch.h"),
        ("kernels/cuda/cuda_compactor.cc", "cuda_runtime.h"),
        ("tests/gpu/wrappers_test.cu", "cuda_runtime.h"),
        ("service/transfer/nccl/nccl_calls.h", "nccl.h"),
        ("service/rpc/put_reactor.cc", "service/transfer/nccl/channel.h"),
        ("tests/bench/kernels/bench.cc", "grpcpp/grpcpp.h"),
        ("tests/unit/simt/grid_test.cc", "kernels/simt/emulation/grid.h"),
    ],
)
def test_an_allowed_edge_is_not_found(relative, included):
    assert not violations(relative, [included])


def test_top_level_holds_only_the_known_folders():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert folders - {"build"} <= {"proto", "service", "kernels", "client", "tests", "deploy"}
