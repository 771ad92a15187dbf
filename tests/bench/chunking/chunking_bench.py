"""How long chunk_starts takes, beside what must happen to the same prompt anyway.

    .venv/bin/python tests/bench/chunking/chunking_bench.py [--lengths 1024 ...] [--by sentences ...] [--check]

Ratios are against two limits of the same run: encoding the same text with the same tokenizer, and the matrix products
of a prefill (attention left out) by a model of 100 M weights, timed in NumPy over 256 tokens and scaled to the length.
A ratio is `unsteady`, and not shown, where the middle half of one of its times spreads over more than 10 % of their
median. --check: ends with 1 where chunking takes more than 2 % of those products, is slower than encoding, or a ratio
is unsteady.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from chunkkv.chunking import LIMITS, chunk_starts

LENGTHS = (1024, 4096, 16384, 65536, 131072)
MODEL_WEIGHTS = 100_000_000
MOST_OF_PREFILL = 0.02
SPREAD_LIMIT = 0.1
HIDDEN, PREFILL_TOKENS = 1024, 256


def prose(token_count, rng):
    """Seeded text of about `token_count` words: sentences, paragraphs, abbreviations, figures, a little Chinese."""
    syllables = ["ba", "con", "der", "el", "fi", "gra", "hum", "in", "jo", "kar", "lo", "men", "nor", "pi", "ran", "so"]
    words = ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(3000)]
    words += ["e.g.", "Dr.", "3.14", "(see", "below)"]
    endings = [". ", "? ", ".\n", ".\n\n", ", 是的。今天很好！"]
    sentences, count = [], 0
    while count < token_count:
        length = int(rng.integers(5, 25))
        sentence = " ".join(words[index] for index in (rng.random(length) ** 2 * len(words)).astype(int)).capitalize()
        sentences.append(sentence + rng.choice(endings, p=[.7, .1, .1, .08, .02]))
        count += length
    return "".join(sentences)


def byte_level_tokenizer(text):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=4000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator((text[at:at + 1000] for at in range(0, min(len(text), 500_000), 1000)), trainer)
    return tokenizer


@dataclass(frozen=True)
class Duration:
    """ms: the median of repeats; spread: their middle half over it."""
    ms: float
    spread: float

    @classmethod
    def of(cls, times):
        low, median, high = statistics.quantiles(times, n=4, method="inclusive")
        return cls(median, (high - low) / median)

    def over(self, other, count=1):
        """The share of `count` times another duration; None where either is unsteady."""
        return None if max(self.spread, other.spread) > SPREAD_LIMIT else self.ms / (other.ms * count)


def duration(action, repeats):
    action()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append((time.perf_counter() - started) * 1e3)
    return Duration.of(times)


def prefill_of_a_token(repeats):
    """Of the matrix products of MODEL_WEIGHTS weights, float32."""
    rng = np.random.default_rng(0)
    activations = rng.standard_normal((PREFILL_TOKENS, HIDDEN), np.float32)
    weights = rng.standard_normal((HIDDEN, 4 * HIDDEN), np.float32)
    products = duration(lambda: activations @ weights, repeats)
    return Duration(products.ms / PREFILL_TOKENS * MODEL_WEIGHTS / weights.size, products.spread)


def share(ratio, digits):
    return "unsteady" if ratio is None else f"{ratio:.{digits}%}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, metavar="TOKENS")
    parser.add_argument("--by", nargs="+", choices=sorted(LIMITS), default=sorted(LIMITS))
    parser.add_argument("--repeats", type=int, default=7, help="at least 2")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.repeats < 2:
        parser.error("--repeats is at least 2: one time has no spread")

    text = prose(max(options.lengths), np.random.default_rng(1))
    tokenizer = byte_level_tokenizer(text)
    ids = np.array(tokenizer.encode(text).ids)
    started = time.perf_counter()
    chunk_starts(ids[:1], tokenizer)
    print(f"reading a vocabulary of {tokenizer.get_vocab_size()}: {(time.perf_counter() - started) * 1e3:.0f} ms, once")
    prefill = prefill_of_a_token(options.repeats)
    print(f"{'by':<11}{'tokens':>8}{'spans':>8}{'ms':>9}{'of encode':>11}{'of prefill':>12}")
    failed = False
    for length in options.lengths:
        prompt = ids[:length]
        same_text = tokenizer.decode(prompt)
        encode = duration(lambda: tokenizer.encode(same_text), options.repeats)
        for by in options.by:
            spans = len(chunk_starts(prompt, tokenizer, by))
            taken = duration(lambda: chunk_starts(prompt, tokenizer, by), options.repeats)
            of_encode, of_prefill = taken.over(encode), taken.over(prefill, length)
            failed |= of_encode is None or of_encode > 1 or of_prefill is None or of_prefill > MOST_OF_PREFILL
            print(f"{by:<11}{length:>8}{spans:>8}{taken.ms:>9.1f}{share(of_encode, 0):>11}{share(of_prefill, 2):>12}")
    return int(options.check and failed)


if __name__ == "__main__":
    sys.exit(main())
