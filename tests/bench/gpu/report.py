"""Writes a run's results: a table, a plot and the lines they were made of.

    python report.py lines.jsonl [--out tests/bench/results]

makes OUT/<machine>-<date>/ with report.md, limits.svg and lines.jsonl. Machine and date are those of the run; where no
line says them, of this machine today. The status is 1 where lines were left out or nothing was measured; a missed
target is a result.
"""

import argparse
import re
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCH), str(BENCH.parent / "quality")]

from gpu.figures import figures_of
from gpu.lines import read_lines
from gpu.machine import describe_briefly
from gpu.plot import plot
from gpu.table import table

PLOT_NAME = "limits.svg"


def folder_name(machine):
    """<machine>-<date>, in letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", f"{machine['name']} {machine['date']}".lower()).strip("-")


def write(source, out):
    """The results' folder, and whether all of the lines are in it. Errors: OSError."""
    measured = read_lines(source)
    if measured.machine is None:
        measured.machine = describe_briefly()
    figures = figures_of(measured)
    folder = out / folder_name(measured.machine)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(table(measured, figures, PLOT_NAME), encoding="utf-8")
    title = f"{measured.machine['name']}, {measured.machine['date']}"
    (folder / PLOT_NAME).write_text(plot(title, figures), encoding="utf-8")
    (folder / "lines.jsonl").write_bytes(source.read_bytes())
    return folder, bool(figures) and not measured.unreadable


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path, help="what gpu_bench, limits.py and peer_bench.py printed")
    parser.add_argument("--out", type=Path, default=BENCH / "results")
    options = parser.parse_args(arguments)
    try:
        folder, is_whole = write(options.lines, options.out)
    except OSError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    print((folder / "report.md").read_text(encoding="utf-8"))
    print(f"written to {folder}")
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
