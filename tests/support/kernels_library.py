"""The built libchunkkv_kernels.so, as tests of chunkkv.kernels load it."""

import os
from pathlib import Path

import pytest
from programs import newest_built

VARIABLE = "CHUNKKV_KERNELS_LIBRARY"


def find_library() -> Path:
    """The file that the variable names, else the newest that was built without sanitizers."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    built = newest_built("kernels/c/libchunkkv_kernels.so")
    if built is None:
        pytest.skip(f"no libchunkkv_kernels.so: build chunkkv_kernels_shared, or set {VARIABLE}")
    return built


@pytest.fixture(scope="session", autouse=True)
def kernels_library():
    """chunkkv.kernels as it is loaded from the built library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(find_library()))
        yield patch
