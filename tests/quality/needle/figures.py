"""Figures of cells and sweeps from the trials in a ledger; plain values for JSON."""

import numpy as np

from needle.estimates import Paired, mean_difference, wilson
from prompts import ANSWER_LENGTH

DIGITS = 6


def cell_figures(trials):
    """What one cell did. words: mean share of the answer before its first wrong word; retained_mass: mean of each
    scored layer; jaccard: mean of each pair of adjacent groups; asked: mean share of the asked sentence that each layer
    keeps. These three are empty where there is nothing to say."""
    exact = sum(trial["exact"] for trial in trials)
    low, high = wilson(exact, len(trials))
    means = {figure: _means([trial.get(key, ()) for trial in trials])
             for figure, key in (("retained_mass", "mass"), ("jaccard", "jaccard"), ("asked", "asked"))}
    return {"prompts": len(trials), "exact": exact, "share": _rounded(exact / len(trials)), "low": _rounded(low),
            "high": _rounded(high), "words": _rounded(np.mean([trial["words"] for trial in trials]) / ANSWER_LENGTH),
            "kept": _rounded(np.mean([trial["kept"] for trial in trials])), **means}


def _means(rows):
    return [_rounded(mean) for mean in np.mean(rows, 0)] if len(rows[0]) else []


def _rounded(value):
    return round(float(value), DIGITS)


class Figures:
    """Of the trials that a ledger has of one set of prompts."""

    def __init__(self, ledger, prompt_set):
        self._ledger, self._prompts = ledger, prompt_set.recipes

    def cell(self, cell):
        return cell_figures(self._ledger.of(cell, self._prompts))

    def paired(self, first, second):
        exact = ([trial["exact"] for trial in self._ledger.of(cell, self._prompts)] for cell in (first, second))
        paired = Paired.of(*exact)
        return {"against": second.name, "only_this": paired.only_first, "only_against": paired.only_second,
                "difference": _rounded(paired.difference), "p": float(f"{paired.p:.3g}")}

    def similarity(self, first, second):
        """How much more similar adjacent groups' kept past is in `first` than in `second`: mean over the prompts of the
        difference of their mean Jaccard."""
        means = ([np.mean(trial["jaccard"]) for trial in self._ledger.of(cell, self._prompts)]
                 for cell in (first, second))
        return dict(zip(("difference", "low", "high"), map(_rounded, mean_difference(*means))))

    def sweep(self, sweep):
        points = [{"panel": point.panel, "series": point.series, "x": point.x, "cell": point.cell.name,
                   **({"paired": self.paired(point.cell, point.against)} if point.against else {})}
                  for point in sweep.points]
        return {"name": sweep.name, "title": sweep.title, "axis": sweep.axis, "note": sweep.note, "points": points}


def heat_figures(ledger, prompt_set, cells):
    """By the series of `cells`: {"length", "depth", "prompts", "exact"} of every place of the heat map."""
    places = {}
    for recipe in prompt_set.recipes:
        places.setdefault((recipe.length, recipe.depth), []).append(recipe)
    return {series: [{"length": length, "depth": depth, "prompts": len(prompts),
                      "exact": sum(trial["exact"] for trial in ledger.of(cell, prompts))}
                     for (length, depth), prompts in places.items()]
            for series, cell in cells.items()}


def pooled(places, key):
    """Heat figures over one factor: value of `key` -> {"prompts", "exact", "share", "low", "high"}."""
    sums = {}
    for place in places:
        prompts, exact = sums.get(place[key], (0, 0))
        sums[place[key]] = prompts + place["prompts"], exact + place["exact"]
    figures = {}
    for value, (prompts, exact) in sums.items():
        low, high = wilson(exact, prompts)
        figures[value] = {"prompts": prompts, "exact": exact, "share": exact / prompts, "low": low, "high": high}
    return figures
