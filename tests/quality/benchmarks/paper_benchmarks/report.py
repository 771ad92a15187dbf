"""What a run found, beside what the paper found."""

import json
from collections import defaultdict
from dataclasses import asdict
from statistics import mean

from . import paper
from .results_file import write_whole


def summarize(benchmark, settings, rows, notes):
    """A JSON value: for each method, in the order of its first row, its scores, over all and by group, and how many
    examples were skipped, which no score counts."""
    by_method = defaultdict(list)
    for row in rows:
        by_method[row["method"]].append(row)
    return {"benchmark": benchmark.name, "headline": benchmark.headline, "settings": settings, "notes": notes,
            "methods": {method: _method_summary(benchmark, results) for method, results in by_method.items()},
            "paper": {"source": paper.SOURCE, "runs": [asdict(run) for run in paper.PUBLISHED[benchmark.name]]}}


def _means(rows):
    return {metric: round(mean(row["scores"][metric] for row in rows), 2) for metric in rows[0]["scores"]}


def _method_summary(benchmark, rows):
    answered = [row for row in rows if "skipped" not in row]
    counts = {"examples": len(answered), "skipped": len(rows) - len(answered)}
    if not answered:
        return counts | {"scores": {}, "kept": None, "groups": {}}
    groups = defaultdict(list)
    for row in answered:
        groups[row["group"]].append(row)
    by_group = {group: {"examples": len(members), **_means(members)} for group, members in groups.items()}
    scores = _means(answered)
    if benchmark.mean_over_groups:
        scores = {metric: round(mean(group[metric] for group in by_group.values()), 2) for metric in scores}
    kept = sum(row["kept_tokens"] for row in answered) / sum(row["prompt_tokens"] for row in answered)
    return counts | {"scores": scores, "kept": round(kept, 4), "groups": by_group}


def table(benchmark, summary):
    """The summary as text: measured figures, and the paper's for the same policies."""
    methods = summary["methods"]
    metrics = next((list(found["scores"]) for found in methods.values() if found["scores"]), [benchmark.headline])
    runs = paper.PUBLISHED[benchmark.name]
    header = ["policy", "examples", "skipped", "kept", *metrics]
    header += [f"paper [{index}]" for index in range(1, len(runs) + 1)]
    lines = [header]
    for method in _row_order(methods):
        found = methods.get(method)
        measured = ["–"] * (3 + len(metrics))
        if found:
            measured[:2] = str(found["examples"]), str(found["skipped"])
        if found and found["examples"]:
            measured[2:] = f"{found['kept']:.1%}", *(f"{found['scores'][name]:.2f}" for name in metrics)
        published = [run.scores.get(method.split("/")[0]) for run in runs]
        lines.append([method, *measured, *("–" if score is None else f"{score:g}" for score in published)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [f"{benchmark.title}: {_budget_words(summary['settings'])}"]
    text += ["  " + "  ".join(cell.ljust(width) if not index else cell.rjust(width)
                              for index, (cell, width) in enumerate(zip(line, widths, strict=True))) for line in lines]
    text += [f"  [{index}] {paper.SOURCE}: {run.setting}" for index, run in enumerate(runs, 1)]
    text += [f"  note: {note}" for note in summary["notes"]]
    return "\n".join(text + _group_lines(benchmark, methods))


def _row_order(methods):
    """Every policy of the paper, with the measured variants of chunk_kv after it."""
    order = ["full", *paper.POLICIES]
    return order + sorted(method for method in methods if method not in order)


def _group_lines(benchmark, methods):
    groups = list(dict.fromkeys(group for found in methods.values() for group in found["groups"]))
    if len(groups) < 2:
        return []
    width = max(map(len, groups))
    lines = ["", f"  {benchmark.headline} by group: " + ", ".join(methods)]
    for group in groups:
        cells = (found["groups"].get(group, {}).get(benchmark.headline) for found in methods.values())
        lines.append(f"  {group:<{width}}  " + "  ".join("    –" if cell is None else f"{cell:6.2f}" for cell in cells))
    return lines


def _budget_words(settings):
    budget = settings["budget"]
    return f"{budget['max_tokens']} tokens kept" if budget["max_tokens"] else f"keep {budget['keep_ratio']:.0%}"


def write(folder, benchmark, summary):
    """summary.json and table.txt; returns the table."""
    text = table(benchmark, summary)
    write_whole(folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    write_whole(folder / "table.txt", text + "\n")
    return text
