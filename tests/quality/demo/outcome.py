"""What one method did to one prompt."""

from dataclasses import asdict, dataclass

import numpy as np

from methods import Method


@dataclass(frozen=True)
class Outcome:
    """answer: the words decoded from the served cache; positions: the kept ones of each layer; retained_mass: mean over
    the scored layers, None without scores; times in milliseconds."""
    method: Method
    answer: list[str]
    exact: bool
    retained_mass: float | None
    positions: list[np.ndarray]
    sent_bytes: int
    stored_bytes: int
    served_bytes: int
    put_ms: float
    get_ms: float
    decode_ms: float

    def as_json(self):
        """The outcome without its positions, for json.dump."""
        return {**{name: value for name, value in vars(self).items() if name not in ("method", "positions")},
                "method": asdict(self.method)}
