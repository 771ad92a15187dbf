"""Measures what each choice of tokens costs the shipped model, through the running service.

    python tests/quality/needle/run.py --out tests/quality/needle/results

Starts a server of its own where no address is given. A stopped run goes on where it was: trials are kept in --work.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # sums in one order whatever the number of cores

QUALITY = Path(__file__).resolve().parents[1]
ROOT = QUALITY.parents[1]
sys.path[:0] = [str(QUALITY), str(QUALITY / "model"), str(QUALITY / "support"), str(ROOT / "tests/support")]

from needle.plots import plots
from needle.prompt_sets import HEAT_LENGTHS, LENGTH
from needle.report import report
from needle.reuse_groups import load_profile, parse_groups
from needle.study import Study
from programs import server_at


def write(results, out):
    """results.json, results.md and the plots."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / "results.md").write_text(report(results))
    for name, drawing in plots(results).items():
        (out / name).write_text(drawing)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="the service (default: a server of its own)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--work", type=Path, default=ROOT / "build/needle", help="folder of the trials (%(default)s)")
    parser.add_argument("--prompts", type=int, default=200, help="prompts a cell (default %(default)s)")
    parser.add_argument("--length", type=int, default=LENGTH, help="tokens of a prompt (default %(default)s)")
    parser.add_argument("--heat-prompts", type=int, default=25,
                        help="prompts of each length and depth, 0: no heat map (default %(default)s)")
    parser.add_argument("--heat-lengths", type=lambda text: tuple(map(int, text.split(","))), default=HEAT_LENGTHS,
                        help="prompt lengths of the heat map (default 128 to 1024)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--without-kvpress", action="store_true", help="leaves kvpress out where it is installed")
    reuse = parser.add_mutually_exclusive_group()
    reuse.add_argument("--profile", dest="groups", type=lambda path: load_profile(Path(path)),
                       help="a reuse profile's JSON, compared with no reuse")
    reuse.add_argument("--groups", type=parse_groups, help="the same in words: 0-1:1,2-2 (0-1:+ where all choose)")
    options = parser.parse_args(arguments)
    if options.prompts < 2:
        parser.error("--prompts: two at least")
    options.command = shlex.join(["python", "tests/quality/needle/run.py", *arguments])
    return options


def main(arguments):
    options = parse(arguments)
    with server_at(options.address) as address:
        results = Study(options, address).results()
    write(results, options.out)
    for verdict in results["verdicts"]:
        print(f"{ {True: 'holds', False: 'DOES NOT HOLD', None: 'measured'}[verdict['holds']]}: {verdict['claim']}")


if __name__ == "__main__":
    main(sys.argv[1:])
