"""Copy practice: sequences that repeat themselves, from which copying heads are learnt."""

import numpy as np

import vocabulary as words

SMALLEST_SUBSET, LARGEST_SUBSET = 32, 496
SHORTEST_TILE, LONGEST_TILE = 8, 48


def copy_sequence(length, rng):
    """tokens int32 [length] drawn from a random subset of the words, mask bool of the repeated ones."""
    subset = rng.permutation(len(words.WORDS))[:rng.integers(SMALLEST_SUBSET, LARGEST_SUBSET + 1)]
    tokens = subset[rng.integers(0, len(subset), length)].astype(np.int32)
    mask = np.zeros(length, bool)
    if rng.random() < 0.5:
        period = int(rng.integers(SHORTEST_TILE, LONGEST_TILE + 1))
        tokens = np.resize(tokens[:period], length)
        mask[period + 1:] = True
    else:
        size = int(rng.integers(SHORTEST_TILE, min(LONGEST_TILE, length // 2) + 1))
        source = int(rng.integers(0, length - 2 * size + 1))
        target = int(rng.integers(source + size, length - size + 1))
        tokens[target:target + size] = tokens[source:source + size]
        mask[target + 1:target + size] = True
    return tokens, mask
