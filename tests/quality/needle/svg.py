"""A small SVG document: the same drawing is the same bytes."""

from xml.sax.saxutils import escape, quoteattr

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
INK, FAINT, GRID, PAPER = "#1f2328", "#59636e", "#e4e8ec", "#ffffff"


class Drawing:
    """Elements in the order they are drawn; lengths in pixels, y downwards."""

    def __init__(self, width, height, title):
        self.width, self.height, self._title = width, height, title
        self._elements = []
        self.rectangle(0, 0, width, height, PAPER, rx=6)

    def rectangle(self, x, y, width, height, fill, title=None, **more):
        self._add("rect", {"x": x, "y": y, "width": width, "height": height, "fill": fill, **more}, title=title)

    def line(self, x1, y1, x2, y2, stroke=GRID, width=1.0, **more):
        self._add("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "stroke": stroke, "stroke-width": width, **more})

    def path(self, points, stroke, width=2.0, **more):
        """Straight strokes through points (x, y)."""
        steps = " ".join(f"{'L' if index else 'M'}{number(x)} {number(y)}" for index, (x, y) in enumerate(points))
        self._add("path", {"d": steps, "stroke": stroke, "stroke-width": width, "fill": "none",
                           "stroke-linejoin": "round", **more})

    def dot(self, x, y, radius, fill, title=None):
        self._add("circle", {"cx": x, "cy": y, "r": radius, "fill": fill, "stroke": PAPER, "stroke-width": 1.2},
                  title=title)

    def text(self, x, y, content, size=12, fill=INK, anchor="start", **more):
        self._add("text", {"x": x, "y": y, "font-size": size, "fill": fill, "text-anchor": anchor, **more},
                  content=content)

    def _add(self, tag, attributes, content="", title=None):
        pairs = " ".join(f"{name.replace('_', '-')}={quoteattr(number(value))}" for name, value in attributes.items())
        inner = (f"<title>{escape(title)}</title>" if title else "") + escape(content)
        self._elements.append(f"<{tag} {pairs}>{inner}</{tag}>" if inner else f"<{tag} {pairs}/>")

    def __str__(self):
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(self.width)} {number(self.height)}" '
                f'width="{number(self.width)}" height="{number(self.height)}" font-family="{FONT}" role="img" '
                f'aria-label={quoteattr(self._title)}>')
        return "\n".join([head, f"<title>{escape(self._title)}</title>", *self._elements, "</svg>"]) + "\n"


def number(value):
    """A length with at most two decimals; text as it is."""
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
