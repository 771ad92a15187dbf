"""Where batches run."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidArgument
from . import _library, _memory, _structs

_ALIGNMENT = 64


@dataclass(frozen=True)
class Device:
    """How tensors are worked on, where they are.

    name: None takes "cpu" or "cuda:N", as the tensors are; "reference" is the slow specification on the CPU. threads:
    of the CPU. max_sm_count: blocks that a kernel has at most at a time, for an engine that shares the GPU; 0: as many
    as it has work for. A block runs on one multiprocessor, and several may share one: a kernel occupies at most so many
    multiprocessors, and may fewer. CUDA tensors are worked on in torch's current stream.
    """

    name: str | None = None
    threads: int = 1
    max_sm_count: int = 0


@functools.cache
def _opened(name: str) -> int:
    return _library.created("chunkkv_device_open", name.encode())


def run(tasks: Sequence[_structs.Struct], plan: int | None, place: _memory.Place, device: Device) -> None:
    """Runs a batch of `tasks`, in any order, and waits for it. Errors: chunkkv.Error as chunkkv/kernels.h says."""
    name = device.name or place.name
    if (place.device is not None) != name.startswith("cuda"):
        raise InvalidArgument("BAD_DEVICE", f"tensors on {place.name} cannot be worked on by {name}")
    batch = _batch(tasks)
    options = _structs.ContextOptions(max_sm_count=device.max_sm_count)
    keep = _on_stream(options, place) if place.device is not None else _on_threads(options, device.threads)
    context = _library.created("chunkkv_context_create", _opened(name), ctypes.byref(options))
    try:
        needed = ctypes.c_uint64()
        _library.call("chunkkv_workspace_bytes", context, plan, ctypes.byref(batch), ctypes.byref(needed))
        workspace, start = _workspace(needed.value, place)
        try:
            _library.call("chunkkv_enqueue", context, plan, ctypes.byref(batch), start, needed.value)
        finally:
            _library.call("chunkkv_wait", context)
        del workspace
    finally:
        _library.load().chunkkv_context_destroy(context)
        del keep


def _batch(tasks: Sequence[_structs.Struct]) -> _structs.Batch:
    batch = _structs.Batch()
    for field, kind in (("score", _structs.ScoreTask), ("select", _structs.SelectTask),
                        ("gather", _structs.GatherTask), ("rotate", _structs.RotateTask),
                        ("scatter", _structs.ScatterTask), ("digest", _structs.DigestTask)):
        of_kind: Any = [task for task in tasks if isinstance(task, kind)]
        if of_kind:
            array = (kind * len(of_kind))(*of_kind)
            setattr(batch, field, ctypes.cast(array, ctypes.POINTER(kind)))
            setattr(batch, f"{field}_count", len(of_kind))
    return batch


def _workspace(size: int, place: _memory.Place) -> tuple[Any, int]:
    """Scratch and its aligned address."""
    if place.device is not None:
        import torch

        scratch = torch.empty(size + _ALIGNMENT, dtype=torch.uint8, device=f"cuda:{place.device}")
    else:
        scratch = np.empty(size + _ALIGNMENT, np.uint8)
    return scratch, -(-_memory.address(scratch) // _ALIGNMENT) * _ALIGNMENT


def _on_stream(options: _structs.ContextOptions, place: _memory.Place) -> Any:
    import torch

    failure = torch.empty(1, dtype=torch.int64, pin_memory=True)
    options.failure = failure.data_ptr()
    options.stream = torch.cuda.current_stream(place.device).cuda_stream
    return failure


def _on_threads(options: _structs.ContextOptions, threads: int) -> Any:
    if threads < 1:
        raise InvalidArgument("BAD_NUMBER", f"threads is {threads}")
    if threads == 1:
        return None
    pool = _pool(threads)

    def run_parallel(user: int, count: int, body: Any, argument: int) -> None:
        started = []
        for index in range(count):
            try:
                started.append(pool.submit(body, argument, index))
            except RuntimeError:  # the interpreter is ending: no thread takes any more
                body(argument, index)
        for work in started:
            work.result()

    options.run_parallel = _structs.RUN_PARALLEL(run_parallel)
    return options.run_parallel


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "chunkkv-kernels")
