"""Writes the chart's README: an introduction, README.md.head, and the table of values with their comments (`# --`).

    deploy/helm/make_reference.py [--check]     --check: exit 1 where the file differs
"""
import json
import re
import sys
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent / "chunkkv"


def comments(lines):
    """Path of each value that has a comment, to the comment."""
    found, parents, comment = {}, [], None
    for line in lines:
        if match := re.match(r" *# -- (.*)", line):
            comment = match[1]
        elif match := re.match(r"( *)([\w-]+):", line):
            depth = len(match[1]) // 2
            parents[depth:] = [match[2]]
            if comment:
                found[".".join(parents)] = comment
            comment = None
    return found


def value_at(values, path):
    for name in path.split("."):
        values = values[name]
    return values


def main():
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows = [f"| `{path}` | `{json.dumps(value_at(values, path))}` | {comment} |"
            for path, comment in comments(text.splitlines()).items()]
    readme = CHART / "README.md"
    made = (CHART / "README.md.head").read_text() + "\n".join(
        ["", "## Values", "", "| value | default | |", "|---|---|---|", *rows]) + "\n"
    if sys.argv[1:] == ["--check"]:
        sys.exit(readme.read_text() != made)
    readme.write_text(made)


if __name__ == "__main__":
    main()
