"""Re-rotation of keys to contiguous positions, section 6 of the page."""
import numpy as np


def rotary_pairs(rope: dict) -> tuple[np.ndarray, np.ndarray]:
    """Returns the two dims of each rotated pair, int [rotary_dims/2] each."""
    index = np.arange(rope["rotary_dims"] // 2)
    if rope["pairing"] == "half":
        return rope["first_dim"] + index, rope["first_dim"] + len(index) + index
    return rope["first_dim"] + 2 * index, rope["first_dim"] + 2 * index + 1


def rotated(k: np.ndarray, steps: np.ndarray, rope: dict) -> np.ndarray:
    """k [n,Hkv,D], steps [n]: positions to move each row forward. Returns float64 [n,Hkv,D]."""
    angles = np.asarray(steps, np.float64)[:, None, None] * np.asarray(rope["inv_freq"], np.float64)
    first, second = rotary_pairs(rope)
    moved = k.astype(np.float64)
    moved[:, :, first] = np.cos(angles) * k[:, :, first] - np.sin(angles) * k[:, :, second]
    moved[:, :, second] = np.sin(angles) * k[:, :, first] + np.cos(angles) * k[:, :, second]
    return moved


def contiguous_keys(kept_k: np.ndarray, positions: list[int], rope: dict) -> np.ndarray:
    """kept_k [B,Hkv,D] at its original positions. Returns float64 [B,Hkv,D] at 0..B-1."""
    return rotated(kept_k, np.arange(len(positions)) - np.asarray(positions), rope)
