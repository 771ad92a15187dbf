"""Measurements as JSON objects, one a line: what gpu_bench, limits.py and peer_bench.py print and report.py reads.

    {"bench": "G1", "name": "score_lse/llama8b/8192/0.3/32/1/token_major/BF16", "median_ms": 0.14, "spread": 0.02,
     "repeats": 50, "bytes": 536870912, "limit_ms": 0.13, "limit_terms": {"bytes": 0.13, ...}}

bench is G1 to G4 or P1 (a figure of the kernels, or of a peer where `peer` names one), or "limit" (a rate of the
machine: `bytes` or `flops` over median_ms). One line with bench "machine" says where and when (machine.py).
"""

import json
import math
import sys
from dataclasses import dataclass, field

from gpu.shapes import BENCHES, parse_shape

LIMIT, MACHINE = "limit", "machine"
SPREAD_LIMIT = 0.10


@dataclass(frozen=True)
class Line:
    """spread: (third quartile - first quartile) / median. limit_ms and limit_terms: None and {} where the roofline says
    them. bytes, flops: moved and computed in median_ms. scratch_bytes: workspace of a request."""
    bench: str
    name: str
    median_ms: float
    spread: float
    repeats: int
    limit_ms: float | None = None
    limit_terms: dict[str, float] = field(default_factory=dict)
    bytes: int | None = None
    flops: float | None = None
    clock_hz: float | None = None
    scratch_bytes: int | None = None
    peer: str | None = None

    @property
    def is_steady(self):
        return self.spread <= SPREAD_LIMIT

    @property
    def bytes_per_s(self):
        return self.bytes / self.median_ms * 1e3

    @property
    def flops_per_s(self):
        return self.flops / self.median_ms * 1e3


@dataclass
class Measured:
    """What a run printed. unreadable: texts that say which lines were left out, and why."""
    machine: dict | None = None
    lines: list[Line] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def limit(self, name):
        """The limit of that name; None where it was not measured."""
        return next((line for line in self.lines if line.bench == LIMIT and line.name == name), None)

    def figures(self):
        return [line for line in self.lines if line.bench != LIMIT and line.peer is None]

    def peers(self):
        return [line for line in self.lines if line.peer is not None]


def print_line(line):
    """Writes a Line, or a machine's dict, to standard output at once."""
    fields = line if isinstance(line, dict) else {key: value for key, value in vars(line).items()
                                                  if value is not None and value != {}}
    print(json.dumps(fields), file=sys.stdout, flush=True)


def print_lines(found):
    """Writes each Line of `found`, and texts of what was left out to standard error. 1 if there were any, else 0."""
    status = 0
    for each in found:
        if isinstance(each, Line):
            print_line(each)
        else:
            print("left out:", each, file=sys.stderr, flush=True)
            status = 1
    return status


def first_line(error):
    return str(error).strip().split("\n")[0]


def read_lines(path):
    """The Measured of a file. A line that is no measurement is left out, as a killed program leaves half a line."""
    measured, seen = Measured(), set()
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                fields = json.loads(text)
                if not isinstance(fields, dict):
                    raise ValueError("no JSON object")
                if fields.get("bench") == MACHINE:
                    measured.machine = _machine(fields)
                    continue
                line = _line(fields)
                if (key := (line.bench, line.name, line.peer)) in seen:
                    raise ValueError(f"{line.name} stands twice")
                seen.add(key)
                measured.lines.append(line)
            except (ValueError, RecursionError) as error:
                measured.unreadable.append(f"line {number}: {error}")
    return measured


def _machine(fields):
    for name in ("name", "date"):
        if not isinstance(fields.get(name), str) or not fields[name]:
            raise ValueError(f"machine without {name}")
    return fields


def _line(fields):
    """Fields that a Line has not are not looked at. Errors: ValueError."""
    text = {name: fields.get(name) for name in ("bench", "name", "peer")}
    if not all(isinstance(value, str) for name, value in text.items() if name != "peer" or value is not None):
        raise ValueError("bench, name and peer are text")
    if text["bench"] != LIMIT and text["bench"] != BENCHES[parse_shape(text["name"]).bench]:
        raise ValueError(f"bench {text['bench']!r} is not that of {text['name']}")
    numbers = {name: _number(fields, name) for name in ("median_ms", "spread", "repeats")}
    optional = {name: _number(fields, name) for name in ("limit_ms", "bytes", "flops", "clock_hz", "scratch_bytes")
                if fields.get(name) is not None}
    terms = fields.get("limit_terms") or {}
    if not isinstance(terms, dict):
        raise ValueError("limit_terms is no object")
    terms = {name: _number(terms, name) for name in terms}
    if numbers["median_ms"] == 0 or optional.get("limit_ms") == 0:
        raise ValueError("median_ms and limit_ms are above 0")
    return Line(**text, **numbers, **optional, limit_terms=terms)


def _number(fields, name):
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is no number of at least 0: {value!r}")
    return value
