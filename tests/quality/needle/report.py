"""The results as a page of Markdown."""

from needle.figures import pooled
from needle.recommendation import SAME_P, tally
from needle.verdicts import share_text

HOLDS = {True: "holds", False: "does NOT hold", None: "measured"}


def report(results):
    settings = results["settings"]
    lines = [
        "# Needle laboratory: results", "",
        f"Made by `{results['command']}`. {settings['prompts']} prompts of {settings['length']:,} tokens a cell, "
        f"window {settings['window_length']}, no index reuse, where nothing else is said; exact answers with 95 % "
        "Wilson intervals; p of McNemar's exact test on the same prompts. [README.md](../README.md) says how to read "
        "it.", ""]
    lines += _verdicts(results["verdicts"]) + _recommendation(results)
    lines += _confirmation(results["confirmation"])
    for sweep in results["sweeps"]:
        lines += _sweep(sweep, results["cells"], f"![{sweep['title']}]({sweep['name']}.svg)")
        if sweep["name"] == "keep":
            lines += _masses(results, sweep)
    for left_out in results["left_out"]:
        lines += [f"## {left_out['title']}", "", f"Left out: {left_out['reason']}.", ""]
    if results["heat"]:
        lines += _heat(results["heat"])
    return "\n".join(lines)


def _verdicts(verdicts):
    lines = ["## What must hold", ""]
    for verdict in verdicts:
        lines += [f"**{HOLDS[verdict['holds']]}**: {verdict['claim']}", ""]
        lines += [f"- {text}" for text in verdict["figures"]]
        if verdict["holds"] is not None:
            lines += [f"- speaks against it: {text}" for text in verdict["against"] or ["no cell"]]
        lines.append("")
    return lines


def _recommendation(results):
    lines = ["## Recommended setting", "",
             "The most exact answers at each keep ratio among sentences and grids with SUM, MEAN and MAX, chosen and "
             "measured on the same prompts; same: those that do not differ from it (p at least 0.05); worse: how many "
             "others do.", "",
             _row("keep", "chunks", "best", "exact", "same", "worse"), _row(*["---"] * 6)]
    for row in results["recommendation"]:
        same = "; ".join(map(_setting, row["same"])) or "–"
        lines.append(_row(f"{row['keep_ratio']:.0%}", row["kind"], _setting(row["best"]),
                          share_text(results["cells"][row["best"]]), same, str(len(row["worse"]))))
    return lines + [""]


def _setting(name):
    """A chunk_kv cell's name without its policy and keep ratio."""
    chunks, _, reduce = name.split(", ", 2)[2].partition(", chunk_reduce ")
    return f"{chunks} {(reduce or 'sum').upper()}"


def _confirmation(confirmed):
    counts = tally(confirmed["sweep"])
    return _sweep(confirmed["sweep"], confirmed["cells"],
                  f"MAX is better in {counts['better']} cells, worse in {counts['worse']}, and does not differ in "
                  f"{counts['same']} (p at least {SAME_P}).")


def _sweep(sweep, cells, more):
    columns = list(dict.fromkeys(point["x"] for point in sweep["points"]))
    lines = [f"## {sweep['title']}", "", f"{sweep['note']} {more}", "", _row(sweep["axis"], *columns),
             _row("---", *["---"] * len(columns))]
    rows = {}
    for point in sweep["points"]:
        cell = cells[point["cell"]]
        label = ", ".join(filter(None, (point["panel"], point["series"])))
        rows.setdefault(label, {})[point["x"]] = share_text(cell) + _mark(point)
    lines += [_row(label, *(shares.get(column, "") for column in columns)) for label, shares in rows.items()]
    return lines + [""] + _paired(sweep)


def _mark(point):
    return " *" if "paired" in point and point["paired"]["p"] < 0.05 else ""


def _paired(sweep):
    """A folded table of the comparisons on the same prompts."""
    rows = [_row(point["cell"], paired["against"], f"{paired['difference']:+.3f}", str(paired["only_this"]),
                 str(paired["only_against"]), f"{paired['p']:.2g}")
            for point in sweep["points"] if (paired := point.get("paired"))]
    return ["<details><summary>On the same prompts (*: p below 0.05)</summary>", "",
            _row("cell", "against", "difference", "only it", "only the other", "p"), _row(*["---"] * 6), *rows, "",
            "</details>", ""]


def _masses(results, sweep):
    lines = ["### What is kept", "",
             "![Retained mass and similarity of adjacent layers](similarity.svg)", "",
             "A layer each: retained mass; share of the asked sentence that is kept; Jaccard of layers 0 and 1, 1 and "
             "2. Half of H2O's tokens, and all of StreamingLLM's, are the same in every layer by definition, and H2O's "
             "mass is of the attention of all queries.", "",
             _row("cell", "mass", "asked sentence", "Jaccard", "words right"), _row(*["---"] * 5)]
    for point in sweep["points"]:
        cell = results["cells"][point["cell"]]
        values = (" ".join(f"{value:.3f}" for value in cell[figure]) or "–"
                  for figure in ("retained_mass", "asked", "jaccard"))
        lines.append(_row(point["cell"], *values, f"{cell['words']:.3f}"))
    return lines + [""]


def _heat(heat):
    lines = ["## Needle depth by prompt length", "",
             f"Keep {heat['keep_ratio']:.0%}; {heat['prompts']} prompts a place. The model was trained to 1,024 "
             "tokens. ![Exact answers by prompt length and needle depth](heat.svg)", ""]
    for key, axis, text in (("length", "prompt length", "{:,}"), ("depth", "needle depth", "{:.0%}")):
        by_series = {series: pooled(places, key) for series, places in heat["places"].items()}
        values = list(next(iter(by_series.values())))
        lines += [_row(axis, *(text.format(value) for value in values)), _row("---", *["---"] * len(values))]
        lines += [_row(series, *(share_text(figures[value]) for value in values))
                  for series, figures in by_series.items()] + [""]
    return lines


def _row(*values):
    return "| " + " | ".join(values) + " |"
