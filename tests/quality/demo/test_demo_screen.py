"""What the demo prints fits in 100 columns and shows the right places."""

import numpy as np
import pytest

import screen
from methods import METHODS
from outcome import Outcome
from prompts import make_prompt


def outcome(method, positions=(), mass=0.5):
    return Outcome(method=method, answer=["chrysanthemum"] * 8, exact=False, retained_mass=mass,
                   positions=[np.array(positions, int)] * 3, sent_bytes=2**21, stored_bytes=2**20, served_bytes=2**20,
                   put_ms=1234.5, get_ms=1.5, decode_ms=20.25)


@pytest.mark.parametrize("method", METHODS)
def test_lines_fit(method):
    summary = {"exact": 1.0, "retained_mass": 1.0, "stored_share": 1.0,
               "put_ms": 9999.9, "get_ms": 9.9, "decode_ms": 99.9}
    lines = [screen.answer_line(outcome(method)), screen.outcome_header(), screen.outcome_line(outcome(method)),
             screen.summary_header(), screen.summary_line(method, summary), screen.heading("Answers").strip()]

    assert all(len(line) <= screen.COLUMNS for line in lines)


def test_a_missing_mass_is_a_dash():
    assert "–" in screen.outcome_line(outcome(METHODS[0], mass=None))


def test_the_prompt_is_elided_around_its_needle():
    prompt = make_prompt(1024, seed=1, depth=0.5)
    lines = list(screen.prompt_lines(prompt))

    assert any("remember passphrase of " + prompt.words[-1] in line for line in lines)
    assert lines[-1].split() == prompt.words[-6:]
    assert sum("…" in line for line in lines) == 2 and max(map(len, lines)) <= screen.COLUMNS


def test_coverage_counts_each_position_once():
    shares = screen.coverage(np.arange(30, 60), 100, 7)

    np.testing.assert_allclose(shares.sum() * 100 / 7, 30)
    assert shares[0] == 0 and shares[3] == 1


def test_the_map_marks_the_asked_needle_over_what_is_kept():
    prompt = make_prompt(1024, seed=2, depth=0.3)
    needle = prompt.asked
    marks, *layers = screen.map_lines(outcome(METHODS[1], range(needle.start, needle.end)), prompt)

    assert len(layers) == 3 and max(map(len, [marks, *layers])) <= screen.COLUMNS
    assert ([column for column, mark in enumerate(marks) if mark == "▼"]
            == [column for column, mark in enumerate(layers[0]) if mark in "░▒▓█"])
