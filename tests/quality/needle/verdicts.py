"""What must hold, judged from the results, whichever way they fall."""

from needle.sweeps import (CLAIMED_RATIOS, GRID, H2O, KEEP_RATIOS, POLICIES, SENTENCES, SENTENCES_MAX, SNAP_KV,
                           STREAMING_LLM)

BASELINES = (SNAP_KV, H2O, STREAMING_LLM)
ALLOWED_LOSS = 0.01


def verdicts(results):
    """[{"claim", "holds": bool or None where nothing was claimed, "figures": [text], "against": [text]}]."""
    judged = [sentences_ahead(results), grid_place(results), adjacent_similarity(results)]
    if results["kvpress_agreement"]:
        judged.append(same_positions(results["kvpress_agreement"]))
    profile = next((sweep for sweep in results["sweeps"] if sweep["name"] == "profile"), None)
    if profile:
        judged.append(profile_loss(results, profile))
    return judged


def share_text(figures):
    return f"{figures['share']:.3f} ({figures['low']:.2f}–{figures['high']:.2f})"


def _verdict(claim, holds, figures, against=()):
    return {"claim": claim, "holds": holds, "figures": list(figures), "against": list(against)}


def _cell(results, series, keep):
    return results["cells"][POLICIES[series](keep).name]


def _paired_text(paired, name, against):
    return (f"{name} alone is right on {paired['only_this']} prompts, {against} alone on {paired['only_against']}, p "
            f"{paired['p']:.2g}")


def sentences_ahead(results):
    paired = {(point["series"], point["x"]): point["paired"] for sweep in results["sweeps"] if sweep["name"] == "keep"
              for point in sweep["points"] if "paired" in point}
    figures, holds = [], True
    for keep in CLAIMED_RATIOS:
        ours = _cell(results, SENTENCES, keep)
        figures.append(f"keep {keep:.0%}: {SENTENCES} {share_text(ours)}")
        for series in BASELINES:
            theirs = _cell(results, series, keep)
            holds &= ours["low"] > theirs["high"]
            figures.append(f"keep {keep:.0%}: {series} {share_text(theirs)}; "
                           f"{_paired_text(paired[series, f'{keep:.0%}'], series, SENTENCES)}")
    return _verdict("At keep 10 and 20 % ChunkKV with given chunks is ahead of SnapKV, H2O and StreamingLLM, outside "
                    "the intervals.", holds, figures, _cells_against_sentences(results))


def _cells_against_sentences(results):
    """Every cell, of any keep ratio, length and depth, in which a baseline answers more."""
    found = []
    for keep in KEEP_RATIOS:
        ours = _cell(results, SENTENCES, keep)
        found += [f"keep {keep:.0%}: {series} {share_text(theirs)}, {SENTENCES} {share_text(ours)}"
                  for series in BASELINES if (theirs := _cell(results, series, keep))["exact"] > ours["exact"]]
    heat = results["heat"]
    if heat:
        for series in BASELINES:
            for theirs, ours in zip(heat["places"][series], heat["places"][SENTENCES]):
                if theirs["exact"] > ours["exact"]:
                    found.append(f"heat map, {theirs['length']} tokens, depth {theirs['depth']:.0%}, keep "
                                 f"{heat['keep_ratio']:.0%}: {series} {theirs['exact']} of {theirs['prompts']}, "
                                 f"{SENTENCES} {ours['exact']}")
    return found


def grid_place(results):
    figures = []
    for keep in CLAIMED_RATIOS:
        order = sorted(POLICIES, key=lambda series: -_cell(results, series, keep)["exact"])
        figures.append(f"keep {keep:.0%}: " + ", ".join(
            f"{place}. {series} {share_text(_cell(results, series, keep))}" for place, series in enumerate(order, 1)))
        grid = _cell(results, GRID, keep)
        outside = [series for series in BASELINES if grid["low"] > _cell(results, series, keep)["high"]]
        figures.append(f"keep {keep:.0%}: {GRID} is ahead, outside the intervals, of {', '.join(outside) or 'none'}")
    return _verdict("The place of a grid of 10 among them.", None, figures)


def chance(results, cell):
    """Jaccard similarity of two random choices of as many tokens of the past, r / (2 - r)."""
    settings = results["settings"]
    past = (cell["kept"] - settings["window_length"]) / (settings["length"] - settings["window_length"])
    return past / (2 - past)


def mean_jaccard(cell):
    return sum(cell["jaccard"]) / len(cell["jaccard"])


def adjacent_similarity(results):
    figures, against, holds = [], [], True
    for each in results["above_snap_kv"]:
        series, keep = each["series"], each["keep_ratio"]
        ours, theirs = _cell(results, series, keep), _cell(results, SNAP_KV, keep)
        text = (f"keep {keep:.0%}: {series} {_similarities(ours)}, {SNAP_KV} {_similarities(theirs)}, chance "
                f"{chance(results, theirs):.3f}; difference {each['difference']:+.3f} ({each['low']:+.3f} to "
                f"{each['high']:+.3f})")
        holds &= each["low"] > 0 or keep not in CLAIMED_RATIOS
        (figures if each["low"] > 0 else against).append(text)
        against += [f"keep {keep:.0%}, layers {pair} and {pair + 1} alone: {series} {one:.3f}, {SNAP_KV} {other:.3f}"
                    for pair, (one, other) in enumerate(zip(ours["jaccard"], theirs["jaccard"])) if one <= other]
    return _verdict("At keep 10 and 20 % the kept past of adjacent layers is more similar with ChunkKV than with "
                    "SnapKV: mean Jaccard (in brackets layers 0 and 1, 1 and 2), the difference's interval above 0.",
                    holds, figures, against)


def _similarities(cell):
    return f"{mean_jaccard(cell):.3f} ({', '.join(f'{one:.3f}' for one in cell['jaccard'])})"


def same_positions(agreement):
    prompts = agreement["prompts"]
    return _verdict(f"Where both define the same thing, kvpress and the service keep the same positions: {prompts} of "
                    f"{prompts} prompts.", not agreement["different"],
                    [f"{policy}: {same} of {prompts}" for policy, same in agreement["same"].items()],
                    [str(case) for case in agreement["different"]])


def profile_loss(results, profile):
    """Judged on the choice of tokens that the profile was measured for; what it costs other choices is told."""
    figures, against, holds = [], [], True
    for point in profile["points"]:
        if "paired" not in point:
            continue
        paired, ours = point["paired"], results["cells"][point["cell"]]
        text = (f"{point['series']}, {point['panel']}: {share_text(ours)} with groups {point['x']}, "
                f"{share_text(results['cells'][paired['against']])} without; {_paired_text(paired, 'it', 'no reuse')}")
        kept = paired["difference"] >= -ALLOWED_LOSS
        if point["series"] == SENTENCES_MAX:
            holds &= kept
        (figures if kept else against).append(text)
    return _verdict("With the reuse profile, for the choice it was measured with (sentences, MAX), answers are at most 1 "
                    "point fewer than without reuse, at the same keep ratio.", holds, figures, against)
