"""A record as any reader of safetensors sees it."""
import json
from pathlib import Path

import numpy as np

import safetensors_file


class RecordFile:
    def __init__(self, path: Path):
        self.tensors, self.metadata = safetensors_file.read(path)

    def positions(self, group: int, tokens: int) -> list[int]:
        """Kept positions of a group; a list that is not there stands for every token."""
        kept = self.tensors.get(f"positions.{group}")
        return list(range(tokens)) if kept is None else kept.tolist()

    def rows(self, layer: int, name: str) -> np.ndarray | None:
        return self.tensors.get(f"layers.{layer}.{name}")

    def layer_groups(self) -> list[int]:
        """The group of each layer."""
        groups = json.loads(self.metadata["groups"])
        return [index for index, group in enumerate(groups) for _ in range(group["layer_count"])]
