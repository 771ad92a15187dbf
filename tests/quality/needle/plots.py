"""The plots of the results, by file name."""

from needle.charts import Series, Value, bar_chart, heat_maps, line_chart
from needle.sweeps import FULL_CACHE, H2O, POLICIES, SENTENCES, STREAMING_LLM
from needle.verdicts import chance, mean_jaccard

ORDERED = {"keep", "chunk_length", "window"}
EXACT = "share of exact answers, with 95 % intervals"


def plots(results):
    """{file name: SVG text}."""
    drawn = {f"{sweep['name']}.svg": sweep_plot(results, sweep) for sweep in results["sweeps"]}
    drawn["similarity.svg"] = similarity_plot(results)
    if results["heat"]:
        drawn["heat.svg"] = heat_plot(results["heat"])
    return drawn


def sweep_plot(results, sweep):
    """Exact answers over the sweep's factor, a panel of each kind."""
    panels = {}
    for point in sweep["points"]:
        cell = results["cells"][point["cell"]]
        values = panels.setdefault(point["panel"], {}).setdefault(point["series"], {})
        values[point["x"]] = Value(cell["share"], cell["low"], cell["high"])
    ticks = list(dict.fromkeys(point["x"] for point in sweep["points"]))
    if sweep["name"] == "keep":
        full = panels[""].pop(FULL_CACHE)[ticks.pop()]
        panels[""][FULL_CACHE] = dict.fromkeys(ticks, full)
    drawn = [(heading or sweep["title"], sweep["axis"], EXACT, ticks,
              [Series(label, values, label == FULL_CACHE) for label, values in all_values.items()])
             for heading, all_values in panels.items()]
    chart = line_chart if sweep["name"] in ORDERED else bar_chart
    return chart(sweep["title"], drawn)


def similarity_plot(results):
    """Retained mass and adjacent layers' Jaccard over the keep ratio."""
    sweep = next(sweep for sweep in results["sweeps"] if sweep["name"] == "keep")
    masses, similarities = {}, {}
    for point in sweep["points"]:
        cell = results["cells"][point["cell"]]
        if cell["retained_mass"]:
            masses.setdefault(point["series"], {})[point["x"]] = Value(sum(cell["retained_mass"])
                                                                       / len(cell["retained_mass"]))
        if point["series"] in POLICIES and point["series"] != STREAMING_LLM:
            similarities.setdefault(point["series"], {})[point["x"]] = Value(mean_jaccard(cell))
            if point["series"] == SENTENCES:
                similarities.setdefault("chance", {})[point["x"]] = Value(chance(results, cell))
    similarities["chance"] = similarities.pop("chance")
    ticks = list(masses[H2O])
    left, right = ([Series(label, values, label == "chance") for label, values in each.items()]
                   for each in (masses, similarities))
    return line_chart("Retained mass and similarity of adjacent layers", [
        ("Retained mass", sweep["axis"], "share of the token score that is kept, mean of the layers", ticks, left),
        ("Similarity of adjacent layers", sweep["axis"], "Jaccard of the kept past, mean of the pairs; dashed: chance",
         ticks, right)])


def heat_plot(heat):
    maps = []
    for series, places in heat["places"].items():
        shares = {(str(place["length"]), f"{place['depth']:.0%}"): place["exact"] / place["prompts"]
                  for place in places}
        columns = list(dict.fromkeys(column for column, _ in shares))
        rows = list(dict.fromkeys(row for _, row in shares))
        maps.append((series, columns, rows, shares))
    return heat_maps("Exact answers by prompt length and needle depth", "prompt length, tokens", "needle depth", maps,
                     f"share of exact answers, {heat['prompts']} prompts a place, keep {heat['keep_ratio']:.0%}")
