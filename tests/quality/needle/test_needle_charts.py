"""Charts are well-formed, stay on their paper, and put shares where they belong."""

from xml.etree import ElementTree

import pytest

from needle.charts import Series, Value, bar_chart, heat_maps, line_chart
from needle.svg import Drawing

SVG = "{http://www.w3.org/2000/svg}"
VALUES = {"5%": Value(0.0, 0.0, 0.1), "10%": Value(0.5, 0.4, 0.6), "ChunkKV, 20%": Value(1.0, 0.9, 1.0)}
PANEL = ("A & <B>", "kept", "exact", list(VALUES), [Series("one", VALUES), Series("chance", VALUES, dashed=True)])
DRAWINGS = {
    "lines": line_chart("Lines", [PANEL]), "bars": bar_chart("Bars", [PANEL, PANEL]),
    "heat": heat_maps("Heat", "length", "depth", [("map", ["128", "256"], ["0%", "100%"], {
        ("128", "0%"): 0.0, ("128", "100%"): 0.3, ("256", "0%"): 0.6, ("256", "100%"): 1.0})] * 4, "exact")}


@pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=DRAWINGS)
def test_everything_is_on_the_paper(drawing):
    root = ElementTree.fromstring(drawing)
    width, height = float(root.get("width")), float(root.get("height"))
    extents = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r", "r"), "text": ("x", "y", None, None)}
    for element in root.iter():
        names = extents.get(element.tag.removeprefix(SVG))
        if names:
            x, y, right, below = (float(element.get(name)) if name else 0 for name in names)
            assert 0 <= x and x + right <= width + 0.5 and 0 <= y and y + below <= height + 0.5, element.attrib


def test_shares_rise_from_the_axis_to_the_top():
    root = ElementTree.fromstring(DRAWINGS["lines"])
    dots = [float(circle.get("cy")) for circle in root.iter(SVG + "circle")]
    scale = {text.text: float(text.get("y")) - 4 for text in root.iter(SVG + "text") if text.text in ("0.0", "1.0")}

    assert dots == [scale["0.0"], (scale["0.0"] + scale["1.0"]) / 2, scale["1.0"]]


def test_bars_are_as_high_as_their_shares():
    bars = [bar for bar in ElementTree.fromstring(DRAWINGS["bars"]).iter(SVG + "rect") if bar.get("fill-opacity")]
    heights = [float(bar.get("height")) for bar in bars[:3]]

    assert heights[0] == 0 and heights[2] == pytest.approx(2 * heights[1], abs=0.02)


def test_heat_deepens_with_the_share():
    cells = [rect for rect in ElementTree.fromstring(DRAWINGS["heat"]).iter(SVG + "rect") if rect.find(SVG + "title")
             is not None][:4]
    by_share = sorted(cells, key=lambda rect: float(rect[0].text.rsplit(": ", 1)[1]))
    lightness = [sum(bytes.fromhex(rect.get("fill")[1:])) for rect in by_share]

    assert lightness == sorted(lightness, reverse=True) and len(set(lightness)) == 4


def test_text_is_escaped():
    drawing = Drawing(10, 10, 'a "b" & <c>')
    drawing.text(1, 1, "x < y & z")
    root = ElementTree.fromstring(str(drawing))

    assert root.get("aria-label") == 'a "b" & <c>' and root.find(SVG + "text").text == "x < y & z"
