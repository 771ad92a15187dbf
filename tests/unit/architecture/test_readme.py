"""README shows code that is compiled and run elsewhere, word for word, and only files that are there."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text()


def block(text: str, language: str) -> str:
    """The only code block of that language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return found


def test_cpp_is_the_example_that_runs() -> None:
    example = (ROOT / "client/cpp/examples/put_get.cc").read_text()
    shown = re.search(r"  // \[readme\]\n(.*?)  // \[/readme\]\n", example, re.DOTALL)
    assert block(README, "cpp") == textwrap.dedent(shown[1])


def test_python_is_part_of_the_example_that_runs() -> None:
    assert block(README, "python") in block((ROOT / "client/python/README.md").read_text(), "python")


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links and [link for link in links if not (ROOT / link).exists()] == []
