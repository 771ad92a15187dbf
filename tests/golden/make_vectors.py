#!/usr/bin/env python3
"""Writes compaction/: each case's input and what the oracle says of it. --check compares instead of writing."""
import argparse
import json
import math
import zlib
from pathlib import Path

import ml_dtypes
import numpy as np

import safetensors_file
from cases import CASES, Case
from compaction_oracle import Compaction, compact, gather
from oracle.arguments import Arguments
from oracle.layer import Layer
from oracle.near_ties import cut_gap, near_tie_tolerance
from oracle.refusal import Refusal
from oracle.rotation import contiguous_keys
from vector_files import input_bytes, read_input

FOLDER = Path(__file__).with_name("compaction")
LEAST_GAP = 1e-3
SAME = 1e-9


def rounded(value: float) -> float:
    return float(f"{value:.12g}")


def rounded_masses(masses: list[float | None]) -> list[float | None]:
    return [None if mass is None else rounded(mass) for mass in masses]


def clear_of_ties(case: Case, layers: list[Layer], result: Compaction) -> bool:
    tolerances = [near_tie_tolerance(layers[layer], case.model) for layer in result.token_scores]
    gap = max([LEAST_GAP] + [4 * tolerance for tolerance in tolerances])
    least_mass = case.arguments.get("min_retained_mass")
    masses = [mass for mass in result.retained_mass if mass is not None]
    return (min(map(cut_gap, result.rankings)) > gap
            and (least_mass is None or all(mass == least_mass or abs(mass - least_mass) > LEAST_GAP for mass in masses)))


def choose(case: Case, layers: list[Layer]) -> Compaction | Refusal:
    try:
        return compact(layers, case.model, Arguments(**case.arguments), case.chunk_starts)
    except Refusal as refusal:
        return refusal


def draw(case: Case) -> list[Layer]:
    """Draws inputs, from seeds that only the name decides, until nothing that may not tie does."""
    for attempt in range(100):
        layers = case.inputs(np.random.default_rng([zlib.crc32(case.name.encode()), attempt]))
        result = choose(case, layers)
        if isinstance(result, Refusal) or case.ties or clear_of_ties(case, layers, result):
            return layers
    raise RuntimeError(f"{case.name}: every draw nearly ties")


def expectation(case: Case, result: Compaction | Refusal) -> dict:
    if isinstance(result, Refusal):
        said = {"arguments": case.arguments, "error": result.reason}
        if result.retained_mass is not None:
            said |= {"budget": result.budget, "retained_mass": rounded_masses(result.retained_mass)}
        return said
    return {
        "arguments": case.arguments,
        "policy_applied": result.policy_applied,
        "budget": result.budget,
        "positions": result.positions,
        "retained_mass": rounded_masses(result.retained_mass),
        "jaccard": [rounded(value) for value in result.jaccard],
        "token_scores": [[rounded(score) for score in result.token_scores[layer]] for layer in sorted(result.token_scores)],
    }


def contiguous_bytes(case: Case, layers: list[Layer], result: Compaction) -> bytes:
    """Tensors layers.<l>.k [B,Hkv,D], float64: the kept keys at positions 0..B-1, before rounding to the input's dtype."""
    size = case.arguments.get("reuse_group", 1)
    tensors = {}
    for index, layer in enumerate(layers):
        positions = result.positions[index // size]
        tensors[f"layers.{index}.k"] = contiguous_keys(gather(layer.k, positions), positions, case.model.rope)
    return safetensors_file.encode(tensors, {})


def input_path(case: Case) -> Path:
    return FOLDER / f"{case.name}.in.safetensors"


def files_of(case: Case, layers: list[Layer]) -> dict[str, bytes]:
    result = choose(case, layers)
    files = {
        input_path(case).name: input_bytes(layers, case.model, case.chunk_starts),
        f"{case.name}.expected.json": (json.dumps(expectation(case, result)) + "\n").encode(),
    }
    if case.model.rope is not None:
        files[f"{case.name}.contiguous.safetensors"] = contiguous_bytes(case, layers, result)
    return files


# Results of exp, log and pow differ in their last digits between machines' math libraries.

def same_numbers(one, other) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=SAME, abs_tol=SAME)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same_numbers, one, other))
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same_numbers(one[key], other[key]) for key in one)
    return one == other


def same_tensor(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind == "i":
        return np.array_equal(one, other)
    last_digit = max(SAME, float(ml_dtypes.finfo(one.dtype).eps))
    return np.allclose(one.astype(np.float64), other.astype(np.float64), last_digit, SAME, equal_nan=True)


def numbers_of(metadata: dict[str, str]) -> dict:
    return {name: json.loads(value) for name, value in metadata.items()}


def is_same(path: Path, content: bytes) -> bool:
    if not path.is_file():
        return False
    if path.suffix == ".json":
        return same_numbers(json.loads(path.read_bytes()), json.loads(content))
    stored, stored_metadata = safetensors_file.read(path)
    made, made_metadata = safetensors_file.decode(content)
    return (stored.keys() == made.keys() and all(same_tensor(stored[name], made[name]) for name in stored)
            and same_numbers(numbers_of(stored_metadata), numbers_of(made_metadata)))


def differences() -> list[str]:
    """Returns names of files in compaction/ that are not what the cases give, or not there, or nobody's.

    What is expected is computed from the input as it is stored.
    """
    wrong, known = [], set()
    for case in CASES:
        layers = draw(case)
        stored = input_path(case)
        if is_same(stored, input_bytes(layers, case.model, case.chunk_starts)):
            layers = read_input(stored)[0]
        made = files_of(case, layers)
        known.update(made)
        wrong += [name for name, content in made.items() if not is_same(FOLDER / name, content)]
    return wrong + sorted(path.name for path in FOLDER.iterdir() if path.name not in known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        wrong = differences()
        raise SystemExit("not what the cases give: " + ", ".join(wrong) if wrong else 0)
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.iterdir():
        path.unlink()
    for case in CASES:
        for name, content in files_of(case, draw(case)).items():
            (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
