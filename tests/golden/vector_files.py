"""A vector's input file: tensors and metadata as `chunkkv compact` takes them."""
import json
from pathlib import Path

import numpy as np

import safetensors_file
from oracle.layer import Layer, Model

FIELDS = ("k", "v", "q", "lse", "attention", "scores")


def read_input(path: Path) -> tuple[list[Layer], Model, list[int] | None]:
    """Returns layers in order, the model's facts and the chunk starts."""
    tensors, metadata = safetensors_file.read(path)
    count = sum(name.endswith(".k") for name in tensors)
    layers = [Layer(**{field: tensors[f"layers.{layer}.{field}"] for field in FIELDS if f"layers.{layer}.{field}" in tensors})
              for layer in range(count)]
    starts = tensors["chunk_starts"].tolist() if "chunk_starts" in tensors else None
    return layers, Model(**{name: json.loads(text) for name, text in metadata.items()}), starts


def input_bytes(layers: list[Layer], model: Model, chunk_starts: list[int] | None) -> bytes:
    tensors = {f"layers.{index}.{field}": getattr(layer, field)
               for index, layer in enumerate(layers) for field in FIELDS if getattr(layer, field) is not None}
    if chunk_starts is not None:
        tensors["chunk_starts"] = np.array(chunk_starts, np.int32)
    metadata = {name: json.dumps(value) for name, value in vars(model).items() if value is not None}
    return safetensors_file.encode(tensors, metadata)
