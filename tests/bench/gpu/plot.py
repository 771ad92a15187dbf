"""A run's figures as times the limit, on a logarithmic axis: the kernels, their target, their peers."""

import math

from needle.svg import FAINT, GRID, INK, Drawing

from gpu.roofline import SELECT_LIMIT_MS
from gpu.targets import SELECT_MS, least_share

KERNELS, PEERS = "#0969da", {"vectorised": "#d9480f", "kvpress": "#8250df", "full_copy": "#9a6700"}
OTHER_PEER = "#1a9e77"
LEFT, RIGHT, TOP, ROW, BELOW, WIDTH = 360, 30, 66, 22, 30, 1000
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def plot(title, figures):
    """An SVG; figures without a limit, and refused ones, are not in it."""
    shown = [figure for figure in figures if figure.share is not None]
    times = [ratio / figure.share for figure in shown for ratio in (1.0, *figure.ratios.values())]
    farthest = max(times, default=1)
    last = next((tick for tick in TICKS if tick >= farthest), 10 ** math.ceil(math.log10(farthest)))
    drawing = Drawing(WIDTH, TOP + ROW * len(shown) + BELOW, title)
    drawing.text(20, 26, title, 15, font_weight=700)
    _legend(drawing, shown)
    bottom = TOP + ROW * len(shown)
    for tick in [tick for tick in TICKS if tick <= max(2, last)]:
        drawing.line(_x(tick, last), TOP, _x(tick, last), bottom, INK if tick == 1 else GRID)
        drawing.text(_x(tick, last), bottom + 18, f"{tick}x", 11, FAINT, "middle")
    for row, figure in enumerate(shown):
        _row(drawing, figure, TOP + ROW * (row + 0.5), last)
    return str(drawing)


def _row(drawing, figure, y, last):
    times = 1 / figure.share
    drawing.text(LEFT - 12, y + 4, figure.line.name, 11, INK, "end")
    drawing.line(LEFT, y, WIDTH - RIGHT, y, GRID)
    target = SELECT_LIMIT_MS / SELECT_MS if figure.shape.bench == "select" else least_share(figure.shape)
    if target is not None:
        drawing.line(_x(1 / target, last), y - 8, _x(1 / target, last), y + 8, INK, 2)
    for name, ratio in figure.ratios.items():
        colour, of_peer = PEERS.get(name, OTHER_PEER), times * ratio
        drawing.dot(_x(of_peer, last), y, 5, colour, f"{name}: {of_peer:.1f}x the limit")
    drawing.dot(_x(times, last), y, 5, KERNELS, f"ChunkKV: {times:.2f}x the limit")


def _legend(drawing, shown):
    names = sorted({name for figure in shown for name in figure.ratios})
    x = 20
    for name, colour in [("ChunkKV", KERNELS), *((name, PEERS.get(name, OTHER_PEER)) for name in names)]:
        drawing.dot(x + 5, 46, 5, colour)
        drawing.text(x + 15, 50, name, 12)
        x += 40 + 7 * len(name)
    drawing.line(x + 5, 38, x + 5, 54, INK, 2)
    drawing.text(x + 15, 50, "target; the axis is time over the limit", 12)


def _x(times, last):
    """Left of the axis' begin for what is faster than its limit, which caches make possible: drawn at its begin."""
    return LEFT + (WIDTH - LEFT - RIGHT) * max(0.0, math.log(times)) / math.log(max(2, last))
