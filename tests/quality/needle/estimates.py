"""Statistics of exact answers: intervals of one share, and the test of two on the same prompts."""

from dataclasses import dataclass
from math import comb, sqrt
from statistics import fmean, stdev

NORMAL_975 = 1.959963984540054


def wilson(successes, trials):
    """The 95 % score interval (low, high) of a share (Wilson 1927)."""
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, NORMAL_975**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = NORMAL_975 * sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    low = 0.0 if successes == 0 else centre - half
    return low, 1.0 if successes == trials else centre + half


def mcnemar(only_first, only_second):
    """The two-sided exact p of McNemar's test, from the pairs of which only one was a success."""
    discordant = only_first + only_second
    tail = sum(comb(discordant, count) for count in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**discordant)


def mean_difference(first, second):
    """Mean of first - second over the same two prompts or more, and its 95 % interval (low, high) by the normal
    distribution."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean = fmean(differences)
    half = NORMAL_975 * stdev(differences) / sqrt(len(differences))
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class Paired:
    """Two cells on the same prompts, and the pairs of which only one answered exactly."""
    only_first: int
    only_second: int
    prompts: int

    @classmethod
    def of(cls, first, second):
        """first, second: bool a prompt, in the same order."""
        pairs = list(zip(first, second, strict=True))
        return cls(sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs), len(pairs))

    @property
    def difference(self):
        return (self.only_first - self.only_second) / self.prompts

    @property
    def p(self):
        return mcnemar(self.only_first, self.only_second)
