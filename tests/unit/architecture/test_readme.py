"""README shows code that is compiled and run elsewhere, word for word, and only files that are there."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_cpp_is_the_examples_that_run() -> None:
    shown = []
    for name in ("put_get", "shared_memory"):
        example = (ROOT / f"client/cpp/examples/{name}.cc").read_text()
        marked = re.search(r"  // \[readme\]\n(.*?)  // \[/readme\]\n", example, re.DOTALL)
        shown.append(textwrap.dedent(marked[1]))
    assert blocks(README, "cpp") == shown


def test_python_is_part_of_the_example_that_runs() -> None:
    (shown,) = blocks(README, "python")
    assert any(shown in ran for ran in blocks((ROOT / "client/python/README.md").read_text(), "python"))


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links and [link for link in links if not (ROOT / link).exists()] == []
