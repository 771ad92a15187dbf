"""libchunkkv_kernels.so: found, loaded once, and called."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

from .. import errors
from ._structs import OK

ABI_VERSION = 1
VARIABLE = "CHUNKKV_KERNELS_LIBRARY"
_NAMES = ("libchunkkv_kernels.so.0", "libchunkkv_kernels.so")
_POINTER = ctypes.c_void_p
_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "chunkkv_plan_create": (_POINTER, _POINTER, _POINTER),
    "chunkkv_plan_get_info": (_POINTER, _POINTER),
    "chunkkv_plan_get_group": (_POINTER, ctypes.c_int32, _POINTER),
    "chunkkv_plan_is_scored": (_POINTER, ctypes.c_int32, _POINTER),
    "chunkkv_plan_raised_budget": (_POINTER, ctypes.c_int64, _POINTER),
    "chunkkv_device_open": (ctypes.c_char_p, _POINTER),
    "chunkkv_context_create": (_POINTER, _POINTER, _POINTER),
    "chunkkv_workspace_bytes": (_POINTER, _POINTER, _POINTER, _POINTER),
    "chunkkv_enqueue": (_POINTER, _POINTER, _POINTER, _POINTER, ctypes.c_uint64),
    "chunkkv_wait": (_POINTER,),
}


def candidates() -> list[str]:
    """Where the library is looked for, in this order; the variable, where it is set, alone."""
    if os.environ.get(VARIABLE):
        return [os.environ[VARIABLE]]
    beside = [Path(__file__).resolve().parent / name for name in _NAMES]
    return [str(path) for path in beside if path.exists()] + list(_NAMES)


@functools.cache
def load() -> ctypes.CDLL:
    """Errors: Unavailable (KERNELS_LIBRARY_MISSING, KERNELS_LIBRARY_VERSION)."""
    failures = []
    for candidate in candidates():
        try:
            library = ctypes.CDLL(candidate)
        except OSError as error:
            failures.append(str(error))
            continue
        return _prepared(library, candidate)
    raise errors.Unavailable(
        "KERNELS_LIBRARY_MISSING",
        f"chunkkv.kernels needs libchunkkv_kernels.so ({'; '.join(failures)}). Build the target "
        f"chunkkv_kernels_shared, and set {VARIABLE} to its path, or install it where the loader looks "
        "(cmake --install <build> --component kernels)")


def _prepared(library: ctypes.CDLL, name: str) -> ctypes.CDLL:
    library.chunkkv_abi_version.restype = ctypes.c_uint32
    version = library.chunkkv_abi_version()
    if version != ABI_VERSION:
        raise errors.Unavailable("KERNELS_LIBRARY_VERSION",
                                 f"{name} has version {version} of the interface, this package needs {ABI_VERSION}")
    for function, arguments in _PROTOTYPES.items():
        getattr(library, function).argtypes = arguments
        getattr(library, function).restype = ctypes.c_int32
    for function in ("chunkkv_plan_destroy", "chunkkv_context_destroy"):
        getattr(library, function).argtypes = (_POINTER,)
        getattr(library, function).restype = None
    for function in ("chunkkv_last_reason", "chunkkv_last_message"):
        getattr(library, function).restype = ctypes.c_char_p
    return library


def call(function: str, *arguments: Any) -> None:
    """Errors: the subclass of chunkkv.Error for the code, with the library's reason."""
    library = load()
    code = getattr(library, function)(*arguments)
    if code != OK:
        raise errors.from_status(code, library.chunkkv_last_reason().decode(), library.chunkkv_last_message().decode())


def created(function: str, *arguments: Any) -> int:
    """The handle that `function` leaves in its last argument."""
    handle = ctypes.c_void_p()
    call(function, *arguments, ctypes.byref(handle))
    assert handle.value is not None
    return handle.value
