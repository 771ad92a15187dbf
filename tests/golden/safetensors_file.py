"""Reading and writing of safetensors files, so that the same tensors always give the same bytes."""
import json
from pathlib import Path

import ml_dtypes
import numpy as np

DTYPES = {"F64": np.dtype(np.float64), "F32": np.dtype(np.float32), "F16": np.dtype(np.float16),
          "BF16": np.dtype(ml_dtypes.bfloat16), "I32": np.dtype(np.int32), "U8": np.dtype(np.uint8)}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def encode(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    header, body = ({"__metadata__": metadata} if metadata else {}), b""
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        data = tensor.tobytes()
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    return decode(path.read_bytes())


def decode(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns tensors by name, and the metadata."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})

    def tensor(entry: dict) -> np.ndarray:
        begin, end = entry["data_offsets"]
        return np.frombuffer(data[start + begin:start + end], DTYPES[entry["dtype"]]).reshape(entry["shape"])

    return {name: tensor(entry) for name, entry in header.items()}, metadata
