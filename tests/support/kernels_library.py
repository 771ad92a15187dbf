"""The built libchunkkv_kernels.so, as tests of chunkkv.kernels load it."""

import os
from pathlib import Path

import pytest

VARIABLE = "CHUNKKV_KERNELS_LIBRARY"
_ROOT = Path(__file__).resolve().parents[2]


def find_library() -> Path:
    """The file that the variable names, else the newest that was built without sanitizers."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    built = [path for path in _ROOT.glob("build/*/kernels/c/libchunkkv_kernels.so")
             if path.parts[-4] not in ("asan", "tsan")]
    if not built:
        pytest.skip(f"no libchunkkv_kernels.so: build chunkkv_kernels_shared, or set {VARIABLE}")
    return max(built, key=lambda path: path.stat().st_mtime)


@pytest.fixture(scope="session", autouse=True)
def kernels_library():
    """chunkkv.kernels as it is loaded from the built library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(find_library()))
        yield patch
