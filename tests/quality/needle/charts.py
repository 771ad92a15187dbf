"""Charts of shares between 0 and 1 (lines, bars) and of shares over two factors (heat maps)."""

import re
from dataclasses import dataclass

from needle.svg import FAINT, GRID, INK, Drawing

COLOURS = ("#0969da", "#1a9e77", "#d9480f", "#8250df", "#9a6700", "#bf3989")
PANEL_WIDTH, PANEL_HEIGHT = 520, 300
LEFT, RIGHT, TOP, AXIS = 52, 18, 46, 44
TICK_LINE, LEGEND_LINE, TITLE_LINE = 13, 20, 26


@dataclass(frozen=True)
class Value:
    """A share and its interval; low and high are None where there is none."""
    share: float
    low: float | None = None
    high: float | None = None

    @property
    def words(self):
        interval = "" if self.low is None else f" ({self.low:.2f} to {self.high:.2f})"
        return f"{self.share:.3f}{interval}"


@dataclass(frozen=True)
class Series:
    """values: of some of the chart's x, by x. A dashed series is a reference, drawn without dots."""
    label: str
    values: dict[str, Value]
    dashed: bool = False


class Panel:
    """One chart's frame inside a drawing: ticks of x at equal steps, a scale from 0 to 1."""

    def __init__(self, drawing, left, top, title, axis, ticks, y_label):
        self._drawing, self._ticks = drawing, ticks
        self.left, self.right = left + LEFT, left + PANEL_WIDTH - RIGHT
        self.top, self.bottom = top + TOP, top + PANEL_HEIGHT - AXIS
        drawing.text(self.left, top + 20, title, 14, font_weight=600)
        drawing.text(self.left, top + 37, y_label, 11, FAINT)
        for step in range(6):
            y = self.y(step / 5)
            drawing.line(self.left, y, self.right, y, INK if step == 0 else GRID)
            drawing.text(self.left - 8, y + 4, f"{step / 5:.1f}", 11, FAINT, "end")
        for tick in ticks:
            for line, part in enumerate(tick_lines(tick)):
                drawing.text(self.x(tick), self.bottom + 18 + TICK_LINE * line, part, 11, FAINT, "middle")
        drawing.text((self.left + self.right) / 2, self.bottom + 36 + further_lines(ticks), axis, 11, FAINT, "middle")

    @property
    def step(self):
        return (self.right - self.left) / len(self._ticks)

    def x(self, tick):
        """The middle of the tick's step."""
        return self.left + self.step * (self._ticks.index(tick) + 0.5)

    def y(self, share):
        return self.bottom - share * (self.bottom - self.top)

    def whisker(self, x, value, colour):
        if value.low is not None:
            self._drawing.line(x, self.y(value.low), x, self.y(value.high), colour, 1.4, stroke_opacity=0.55)


def tick_lines(tick):
    """A tick's label, broken behind its commas."""
    return re.sub(r", *", ",\n", tick).split("\n")


def further_lines(ticks):
    """Pixels that the tallest label needs beyond one line."""
    return TICK_LINE * (max(len(tick_lines(tick)) for tick in ticks) - 1)


def line_chart(title, panels):
    """panels: (title, x axis, y label, ticks, series); a legend of the first panel's series below."""
    drawing, frames = _drawing(title, panels)
    for frame, (_, _, _, _, all_series) in zip(frames, panels):
        for series, colour in zip(all_series, COLOURS):
            points = [(frame.x(x), frame.y(value.share)) for x, value in series.values.items()]
            drawing.path(points, FAINT if series.dashed else colour, 1.4 if series.dashed else 2.2,
                         **({"stroke_dasharray": "5 4"} if series.dashed else {}))
        for series, colour in zip(all_series, COLOURS):
            for x, value in ({} if series.dashed else series.values).items():
                frame.whisker(frame.x(x), value, colour)
                drawing.dot(frame.x(x), frame.y(value.share), 4, colour, f"{series.label}, {x}: {value.words}")
    return str(drawing)


def bar_chart(title, panels):
    """As line_chart, for factors without an order."""
    drawing, frames = _drawing(title, panels)
    for frame, (_, _, _, ticks, all_series) in zip(frames, panels):
        width = 0.8 * frame.step / len(all_series)
        for place, (series, colour) in enumerate(zip(all_series, COLOURS)):
            for x, value in series.values.items():
                left = frame.x(x) - 0.4 * frame.step + place * width
                drawing.rectangle(left, frame.y(value.share), width - 1.5, frame.bottom - frame.y(value.share), colour,
                                  f"{series.label}, {x}: {value.words}", fill_opacity=0.85)
                frame.whisker(left + width / 2 - 0.75, value, INK)
    return str(drawing)


def _drawing(title, panels):
    """The drawing with its title, where there are several panels, its frames and its legend."""
    legend = _legend_lines(panels[0][4], PANEL_WIDTH * len(panels) - LEFT - RIGHT)
    top = TITLE_LINE if len(panels) > 1 else 0
    below = top + PANEL_HEIGHT + further_lines(panels[0][3])
    drawing = Drawing(PANEL_WIDTH * len(panels), below + LEGEND_LINE * len(legend) + 12, title)
    if top:
        drawing.text(LEFT, 24, title, 15, font_weight=700)
    frames = [Panel(drawing, PANEL_WIDTH * place, top, heading, axis, ticks, y_label)
              for place, (heading, axis, y_label, ticks, _) in enumerate(panels)]
    for line, entries in enumerate(legend):
        y = below + LEGEND_LINE * line + 8
        for offset, series, colour in entries:
            x = LEFT + offset
            drawing.line(x, y, x + 18, y, FAINT if series.dashed else colour, 1.4 if series.dashed else 4.0,
                         **({"stroke_dasharray": "5 4"} if series.dashed else {}))
            drawing.text(x + 24, y + 4, series.label, 12)
    return drawing, frames


def _legend_lines(all_series, width):
    """Lines of (offset, series, colour) that fit in `width`."""
    lines, offset = [[]], 0
    for series, colour in zip(all_series, COLOURS, strict=False):
        needed = 24 + 7 * len(series.label) + 18
        if lines[-1] and offset + needed > width:
            lines.append([])
            offset = 0
        lines[-1].append((offset, series, colour))
        offset += needed
    return lines


CELL_WIDTH, CELL_HEIGHT, COLUMNS = 30, 17, 3
SCALE = ((0.0, (243, 246, 250)), (0.25, (189, 212, 236)), (0.5, (112, 165, 214)), (0.75, (44, 108, 175)),
         (1.0, (10, 48, 98)))


def heat_maps(title, axis_x, axis_y, maps, scale):
    """maps: (heading, columns, rows, shares by (column, row)); small multiples, three a line. scale: what a
    share is of."""
    columns, rows = maps[0][1], maps[0][2]
    width, height = max(240, 62 + CELL_WIDTH * len(columns) + 16), 46 + CELL_HEIGHT * len(rows) + 52
    lines = -(-len(maps) // COLUMNS)
    drawing = Drawing(width * min(COLUMNS, len(maps)), TITLE_LINE + height * lines + 34, title)
    drawing.text(62, 24, title, 15, font_weight=700)
    for place, (heading, _, _, shares) in enumerate(maps):
        left, top = width * (place % COLUMNS) + 62, TITLE_LINE + height * (place // COLUMNS) + 46
        drawing.text(left, top - 12, heading, 14, font_weight=600)
        for r, row in enumerate(rows):
            drawing.text(left - 6, top + CELL_HEIGHT * r + 13, row, 11, FAINT, "end")
            for c, column in enumerate(columns):
                share = shares[column, row]
                drawing.rectangle(left + CELL_WIDTH * c, top + CELL_HEIGHT * r, CELL_WIDTH - 1, CELL_HEIGHT - 1,
                                  _colour(share), f"{heading}, {column} tokens, depth {row}: {share:.2f}")
        for c, column in enumerate(columns):
            drawing.text(left + CELL_WIDTH * (c + 0.5), top + CELL_HEIGHT * len(rows) + 14, column, 10, FAINT, "middle")
        drawing.text(left + CELL_WIDTH * len(columns) / 2, top + CELL_HEIGHT * len(rows) + 31, axis_x, 11, FAINT,
                     "middle")
        drawing.text(left - 44, top + CELL_HEIGHT * len(rows) / 2, axis_y, 11, FAINT, "middle",
                     transform=f"rotate(-90 {left - 44} {top + CELL_HEIGHT * len(rows) / 2:g})")
    _scale(drawing, 62, TITLE_LINE + height * lines + 4, scale)
    return str(drawing)


def _scale(drawing, x, y, label):
    for step in range(41):
        drawing.rectangle(x + 5 * step, y, 5.5, 12, _colour(step / 40))
    drawing.text(x - 6, y + 10, "0", 11, FAINT, "end")
    drawing.text(x + 212, y + 10, f"1   {label}", 11, FAINT)


def _colour(share):
    for (low, first), (high, second) in zip(SCALE, SCALE[1:]):
        if share <= high:
            part = (share - low) / (high - low)
            return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(first, second))
    raise ValueError(share)
