"""What a run's lines say, figure by figure: limits, ratios to peers, verdicts."""

from dataclasses import dataclass

from gpu.lines import Line
from gpu.roofline import Rates, limit_ms, limit_terms
from gpu.shapes import BENCHES, Shape, parse_shape
from gpu.targets import Verdict, verdicts_of


@dataclass(frozen=True)
class Figure:
    """One figure of the kernels, and its peers. limit_ms is None where a rate that it needs was not measured."""
    line: Line
    shape: Shape
    limit_ms: float | None
    limit_terms: dict[str, float | None]
    peers: dict[str, Line]

    @property
    def share(self):
        """Share of the limit that is reached; None where that is unknown, or the figure spreads too far."""
        return self.limit_ms / self.line.median_ms if self.line.is_steady and self.limit_ms is not None else None

    @property
    def ratios(self):
        """How many times as long each peer takes; of figures that spread too far, none."""
        return {name: peer.median_ms / self.line.median_ms for name, peer in self.peers.items()
                if peer.is_steady and self.line.is_steady}

    @property
    def verdicts(self) -> list[Verdict]:
        return verdicts_of(self.shape, self.line, self.share, self.ratios) if self.line.is_steady else []


def rates_of(measured):
    """Rates by the run's limits; None for each that was not measured, or spreads too far."""
    def rate(name, of):
        line = measured.limit(name)
        return getattr(line, of) if line is not None and line.is_steady else None

    multiprocessors = (measured.machine or {}).get("multiprocessors")
    return Rates(rate("device_copy", "bytes_per_s"), rate("matmul", "flops_per_s"), multiprocessors,
                 rate("matmul", "clock_hz"), rate("host_copy", "bytes_per_s"))


def figures_of(measured):
    """Figures in the order of benches and shapes. A line's own limit holds; else the roofline's."""
    rates, benches = rates_of(measured), list(BENCHES)
    found = [_figure(line, parse_shape(line.name), measured, rates) for line in measured.figures()]
    return sorted(found, key=lambda figure: (benches.index(figure.shape.bench), figure.shape.model_name,
                                             figure.shape.tokens, figure.line.name))


def lone_peers(measured):
    """Lines of peers whose figure of the kernels is missing."""
    names = {line.name for line in measured.figures()}
    return [line for line in measured.peers() if line.name not in names]


def _figure(line, shape, measured, rates):
    limit, terms = line.limit_ms, line.limit_terms
    if limit is None:
        terms = limit_terms(shape, rates)
        limit = limit_ms(terms)
    return Figure(line, shape, limit, terms,
                  {peer.peer: peer for peer in measured.peers() if peer.name == line.name})
