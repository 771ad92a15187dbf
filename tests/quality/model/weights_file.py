"""Reads float32 safetensors files with NumPy alone."""

import json

import numpy as np


def read_tensors(path):
    """The file's tensors by name, float32."""
    content = path.read_bytes()
    header_length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + header_length])
    header.pop("__metadata__", None)
    data = content[8 + header_length:]
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{name} is {entry['dtype']}, not F32")
        start, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[start:end], "<f4").reshape(entry["shape"])
    return tensors
