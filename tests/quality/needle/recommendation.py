"""Which chunks and which chunk score win by measurement, at each keep ratio."""

from needle.cells import OWN_SENTENCES
from needle.sweeps import KEEP_RATIOS, chunk_lengths, keep_ratios, reduces

SAME_P = 0.05


def recommendation(figures):
    """For each keep ratio and kind of chunk the cell with the most exact answers, and the others that it does not
    differ from (McNemar p >= SAME_P); both were measured on the prompts that they were chosen by."""
    candidates = dict.fromkeys(cell for sweep in (keep_ratios(), reduces(), chunk_lengths()) for cell in sweep.cells
                               if cell.policy == "chunk_kv")
    rows = []
    for keep in KEEP_RATIOS:
        for kind, chosen in (("sentences", lambda cell: cell.chunks == OWN_SENTENCES),
                             ("grid", lambda cell: cell.chunks != OWN_SENTENCES)):
            rivals = [cell for cell in candidates if cell.keep_ratio == keep and chosen(cell)]
            best = max(rivals, key=lambda cell: figures.cell(cell)["exact"])
            same = [cell.name for cell in rivals if cell != best and figures.paired(best, cell)["p"] >= SAME_P]
            rows.append({"keep_ratio": keep, "kind": kind, "best": best.name, "same": same,
                         "worse": [cell.name for cell in rivals if cell != best and cell.name not in same]})
    return rows


def tally(sweep):
    """Of a sweep's comparisons: how many are better (p below SAME_P), worse, and the same."""
    paired = [point["paired"] for point in sweep["points"] if "paired" in point]
    apart = [each["difference"] for each in paired if each["p"] < SAME_P]
    return {"better": sum(difference > 0 for difference in apart), "worse": sum(difference < 0 for difference in apart),
            "same": len(paired) - len(apart)}
