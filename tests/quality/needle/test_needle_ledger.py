"""A ledger goes on where a run stopped, and never mixes trials of different things."""

from dataclasses import dataclass

import pytest

from needle.campaign import run
from needle.ledger import Ledger
from needle.prompt_sets import PromptSet


@dataclass(frozen=True)
class Named:
    name: str


CELLS = [Named("a"), Named("b")]
PROMPTS = PromptSet("three", ("x", "y", "z"))


class Counting:
    """Measures by naming what it was asked; fails at the recipe `until`."""

    def __init__(self, until=None):
        self.asked, self._until = [], until

    def measure(self, recipe, cells):
        if recipe == self._until:
            raise KeyboardInterrupt
        self.asked.append((recipe, [cell.name for cell in cells]))
        return {cell.name: recipe + cell.name for cell in cells}, {}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "work" / "three.jsonl"


def test_a_stopped_run_goes_on_where_it_was(path):
    with pytest.raises(KeyboardInterrupt):
        run(Ledger(path, {}), PROMPTS, CELLS, lambda: Counting(until="y"))
    rest = Counting()
    ledger = Ledger(path, {})

    assert run(ledger, PROMPTS, CELLS, lambda: rest) == 2
    assert [recipe for recipe, _ in rest.asked] == ["y", "z"]
    assert ledger.of(CELLS[1], PROMPTS.recipes) == ["xb", "yb", "zb"]


def test_a_further_cell_is_measured_alone(path):
    run(Ledger(path, {}), PROMPTS, CELLS[:1], Counting)
    rest = Counting()
    run(Ledger(path, {}), PROMPTS, CELLS, lambda: rest)

    assert rest.asked == [(recipe, ["b"]) for recipe in PROMPTS.recipes]


def test_a_line_that_was_cut_off_is_measured_again(path):
    run(Ledger(path, {}), PROMPTS, CELLS, Counting)
    path.write_text(path.read_text()[:-5])
    rest = Counting()
    ledger = Ledger(path, {})
    run(ledger, PROMPTS, CELLS, lambda: rest)

    assert [recipe for recipe, _ in rest.asked] == ["z"]
    assert Ledger(path, {}).trials == ledger.trials


def test_trials_of_something_else_are_not_taken(path):
    run(Ledger(path, {"weights": "1"}), PROMPTS, CELLS, Counting)

    assert Ledger(path, {"weights": "2"}).trials == {}
    assert Ledger(path, {"weights": "1"}).trials == {}, "the file was begun anew"
