"""A run's figures as Markdown."""

from gpu.figures import lone_peers
from gpu.shapes import BENCHES

TARGETS = {"G1": "scoring", "G2": "selecting", "G3": "gathering", "G4": "whole requests", "P1": "to pinned host memory"}
LEGEND = """\
Figures are medians of repeats; ± is the middle half of the repeats over the median, and above 10 % a figure is refused,
with all that would follow from it. A limit is what this machine can do, measured in the same run; its terms are in ms,
and scoring counts with its largest. A peer's ratio is its time over the kernels'. GB/s: bytes moved over time;
effective: the KV before compaction over time."""
HEAD = ["| figure | ms | limit ms (terms) | of the limit | GB/s | peers | target |", "|---|---|---|---|---|---|---|"]
MARKS = {True: "met", False: "**missed**", None: "not judged"}


def table(measured, figures, plot_name):
    """The report."""
    machine = measured.machine
    more = ", ".join(f"{name} {machine[name]}" for name in ("driver", "torch", "cuda") if name in machine)
    lines = [f"# {machine['name']}, {machine['date']}", "",
             *([more, ""] if more else []),
             LEGEND, "",
             f"![Times the limit]({plot_name})" if figures else "Nothing was measured.", ""]
    lines += _limits(measured)
    for bench in dict.fromkeys(BENCHES.values()):
        rows = [_row(figure) for figure in figures if figure.line.bench == bench]
        rows += [_lone_row(peer) for peer in lone_peers(measured) if peer.bench == bench]
        lines += [f"## {bench}: {TARGETS[bench]}", "", *(HEAD + rows if rows else ["Not measured."]), ""]
    if measured.unreadable:
        lines += ["## Left out", "", *(f"- {text}" for text in measured.unreadable), ""]
    return "\n".join(lines)


def _limits(measured):
    limits = [line for line in measured.lines if line.bench == "limit"]
    rows = [f"| {line.name} | {_rate(line)} | {_time(line)} |" for line in limits]
    return ["## Limits of the machine", "", *(["| what | rate | ms |", "|---|---|---|", *rows] if rows else
                                              ["Not measured."]), ""]


def _rate(line):
    rates = []
    if not line.is_steady:
        return "refused"
    if line.flops is not None:
        rates.append(f"{line.flops_per_s / 1e12:.1f} TFLOP/s")
    if line.bytes is not None:
        rates.append(f"{line.bytes_per_s / 1e9:.1f} GB/s")
    if line.clock_hz is not None:
        rates.append(f"at {line.clock_hz / 1e6:.0f} MHz")
    return ", ".join(rates)


def _row(figure):
    line = figure.line
    terms = ", ".join(f"{name} {value:.4g}" for name, value in figure.limit_terms.items() if value is not None)
    limit = "" if figure.limit_ms is None else f"{figure.limit_ms:.4g}" + (f" ({terms})" if terms else "")
    share = "" if figure.share is None else f"{figure.share:.0%}"
    peers = "; ".join(_peer(figure, name, peer) for name, peer in sorted(figure.peers.items()))
    verdicts = "; ".join(f"{verdict.text} {MARKS[verdict.met]}" for verdict in figure.verdicts)
    return f"| {line.name} | {_time(line)} | {limit} | {share} | {_gigabytes(figure)} | {peers} | {verdicts} |"


def _gigabytes(figure):
    """Of whole requests also the KV before compaction over their time."""
    line = figure.line
    if not line.is_steady:
        return ""
    moved = [] if line.bytes is None else [f"{line.bytes_per_s / 1e9:.0f}"]
    if line.bench in ("G4", "P1"):
        moved.append(f"effective {figure.shape.kv_bytes / line.median_ms / 1e6:.0f}")
    return ", ".join(moved)


def _lone_row(peer):
    return f"| {peer.name} | not measured | | | | {peer.peer} {_time(peer)} | |"


def _peer(figure, name, peer):
    ratio = f", {figure.ratios[name]:.1f}x" if name in figure.ratios else ""
    return f"{name} {_time(peer)}{ratio}"


def _time(line):
    value = f"{line.median_ms:.4g}" if line.is_steady else "refused"
    return f"{value} ±{line.spread:.0%}"
