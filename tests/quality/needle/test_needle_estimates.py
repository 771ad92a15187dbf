"""Intervals and tests against values worked out elsewhere."""

from math import sqrt

import pytest

from needle.estimates import Paired, mcnemar, mean_difference, wilson


@pytest.mark.parametrize("successes, trials, low, high", [
    (8, 10, 0.4901625, 0.9433178), (95, 100, 0.8882495, 0.9784563), (0, 10, 0.0, 0.2775328), (10, 10, 0.7224672, 1.0),
    (1, 2, 0.0945312, 0.9054688)])
def test_wilson_intervals(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=2e-7)


def test_nothing_is_known_without_trials():
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize("first, second, p", [
    (0, 0, 1.0), (5, 5, 1.0), (1, 9, 22 / 1024), (9, 1, 22 / 1024), (2, 8, 112 / 1024), (0, 6, 2 / 64), (0, 1, 1.0)])
def test_mcnemar_is_the_two_sided_binomial(first, second, p):
    assert mcnemar(first, second) == pytest.approx(p, rel=1e-12)


def test_pairs_are_counted_by_prompt():
    paired = Paired.of([True, True, False, False, True], [True, False, True, False, False])

    assert (paired.only_first, paired.only_second, paired.difference) == (2, 1, pytest.approx(0.2))


def test_cells_of_different_prompts_are_not_compared():
    with pytest.raises(ValueError):
        Paired.of([True], [True, False])


def test_mean_differences_have_the_interval_of_their_spread():
    """Differences 1, 2, 3, 4: mean 2.5, standard error sqrt(5 / 3) / 2."""
    half = 1.959964 * sqrt(5 / 3) / 2

    assert mean_difference([1, 3, 3, 5], [0, 1, 0, 1]) == pytest.approx((2.5, 2.5 - half, 2.5 + half), abs=1e-6)
