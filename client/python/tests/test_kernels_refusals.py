"""What is wrong ends in an exception with a reason."""

import os
import subprocess
import sys

import chunkkv
import numpy as np
import pytest
from chunkkv import kernels
from kernels_library import VARIABLE, kernels_library  # noqa: F401
from sample_caches import cache

SPEC = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.3, window_length=8)


def layers_with(**changed):
    return [kernels.KvLayer(**{"k": k, "v": v, "queries": queries, **changed}) for k, v, queries in cache(60)]


K = cache(60)[0][0]


@pytest.mark.parametrize("changed, reason", [
    ({"k": K[0]}, "BAD_SHAPE"), ({"k": K.astype(np.float64)}, "BAD_DTYPE"), ({"k": K[:, :, ::2]}, "BAD_STRIDES"),
    ({"v": K[:-1]}, "TOKEN_COUNT"), ({"queries": None}, "SCORES_MISSING"),
    ({"queries": np.zeros((4, 4, 8), np.float32)}, "WINDOW_TOO_SHORT"),
    ({"queries": np.zeros((8, 4, 7), np.float32)}, "BAD_TASK"),
    ({"queries": np.zeros((8, 3, 8), np.float32)}, "BAD_HEAD_COUNT"),
    ({"queries": np.zeros((8, 8), np.float32)}, "BAD_SHAPE"),
    ({"queries": np.full((8, 4, 8), np.inf, np.float32)}, "NON_FINITE_INPUT"),
    ({"queries": None, "token_scores": np.full(52, -1, np.float32)}, "NEGATIVE_SCORES"),
    ({"queries": None, "token_scores": np.zeros(51, np.float32)}, "BAD_TASK"),
    ({"token_scores": np.zeros(52, np.float32)}, "SCORE_SOURCES"),
    ({"lse": np.zeros((8, 3), np.float32)}, "BAD_SHAPE"),
    ({"k": kernels.PagedRows(K, [0], 60)}, "BAD_SHAPE"),
    ({"k": kernels.PagedRows(K.reshape(4, 15, 2, 8), [0, 1, 2], 60)}, "BAD_TASK"),
    ({"k": kernels.PagedRows(K.reshape(4, 15, 2, 8), [0, 1, 2, 4], 60)}, "BAD_POSITIONS"),
])
def test_wrong_layers(changed, reason):
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        kernels.compact(layers_with(**changed), SPEC)
    assert caught.value.reason == reason


@pytest.mark.parametrize("changed, reason", [
    ({"policy": "best"}, "UNKNOWN_NAME"), ({"keep_ratio": 2.0}, "BAD_KEEP_RATIO"),
    ({"keep_ratio": None}, "BUDGET_MISSING"),
    ({"chunk_length": 2**40}, "BAD_NUMBER"), ({"chunk_length": 1.5}, "BAD_NUMBER"),
    ({"profile": "mine"}, "PROFILE_UNKNOWN"),
    ({"chunk_starts": [0, 2**33]}, "BAD_CHUNK_STARTS"), ({"groups": [chunkkv.ReuseGroup(0, 2, 0)]}, "BAD_GROUPS"),
    ({"policy": "external", "keep_ratio": None}, "BAD_POLICY"),
])
def test_wrong_specs(changed, reason):
    spec = chunkkv.CompactionSpec(**{"policy": "chunk_kv", "keep_ratio": 0.3, "window_length": 8, **changed})
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        kernels.compact(layers_with(), spec)
    assert caught.value.reason == reason


@pytest.mark.parametrize("name, reason", [("tpu", "BAD_DEVICE"), ("cuda:0", "BAD_DEVICE")])
def test_devices_that_arrays_are_not_on(name, reason):
    with pytest.raises(chunkkv.Error) as caught:
        kernels.gather(K, [0], on=kernels.Device(name))
    assert caught.value.reason == reason


@pytest.mark.parametrize("positions", [[60], [-1], [0.5], [2**31], [[0]]])
def test_wrong_positions(positions):
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        kernels.gather(K, positions)
    assert caught.value.reason in ("BAD_POSITIONS", "BAD_SHAPE")


def test_positions_of_64_bits_do_not_wrap():
    torch = pytest.importorskip("torch")
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        kernels.gather(torch.from_numpy(K.copy()), torch.tensor([2**32 + 5]))
    assert caught.value.reason == "BAD_POSITIONS"


def test_contiguous_keys_need_a_rope():
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        kernels.compact(layers_with(), SPEC, contiguous=True)
    assert caught.value.reason == "NO_ROPE"


def test_a_cache_that_cannot_be_written():
    cache_rows = K.copy()
    cache_rows.setflags(write=False)
    with pytest.raises(chunkkv.InvalidArgument) as caught:
        kernels.scatter(K[:2].copy(), [0, 1], cache_rows)
    assert caught.value.reason == "READ_ONLY"


def test_a_missing_library_says_what_to_do(tmp_path):
    program = ("import chunkkv\nfrom chunkkv import kernels\nimport numpy as np\n"
               "try:\n  kernels.gather(np.zeros((2, 1, 4), np.float32), [0])\n"
               "except chunkkv.Unavailable as error:\n  print(error)\n")
    environment = {**os.environ, VARIABLE: str(tmp_path / "absent.so"),
                   "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("KERNELS_LIBRARY_MISSING: ") and VARIABLE in said.stdout
    assert "chunkkv_kernels_shared" in said.stdout
