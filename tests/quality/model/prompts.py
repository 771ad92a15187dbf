"""Seeded passphrase prompts: a haystack of filler sentences that hides needles, then a question for one of them."""

from dataclasses import dataclass

import numpy as np

import vocabulary as words

ANSWER_LENGTH = 8
NEEDLE_CUE = "remember passphrase of".split()
QUESTION_CUE = "? tell me passphrase of".split()
NEEDLE_LENGTH = len(NEEDLE_CUE) + 1 + ANSWER_LENGTH + 1
QUESTION_LENGTH = len(QUESTION_CUE) + 1
SHORTEST_SENTENCE, LONGEST_SENTENCE = 6, 20
LARGEST_SKEW = 3

_BOS, _STOP = words.IDS["<s>"], words.IDS["."]
_NAMES = np.array([words.IDS[word] for word in words.NAMES], np.int32)
_ANSWERS = np.array([words.IDS[word] for word in words.ANSWERS], np.int32)
_POOLS = (words.DETERMINERS, words.ADJECTIVES, words.NOUNS, words.VERBS, words.PREPOSITIONS, words.CONJUNCTIONS,
          words.ADVERBS)
_DETERMINER, _ADJECTIVE, _NOUN, _VERB, _PREPOSITION, _CONJUNCTION, _ADVERB = range(len(_POOLS))
_POOL_START = np.array([words.IDS[pool[0]] for pool in _POOLS])
_POOL_SIZE = np.array([len(pool) for pool in _POOLS])


@dataclass(frozen=True)
class Needle:
    """One hidden sentence: its place in the prompt's tokens, the name and the answer's ids [8]."""
    start: int
    end: int
    name: int
    answer: np.ndarray


@dataclass(frozen=True)
class Prompt:
    """tokens int32 [L]; chunk_starts int32 [sentences], the first 0; answer int32 [8], that of `asked`."""
    tokens: np.ndarray
    chunk_starts: np.ndarray
    needles: list[Needle]
    asked: Needle

    @property
    def answer(self):
        return self.asked.answer

    @property
    def words(self):
        return [words.WORDS[index] for index in self.tokens]


def _ids(cue):
    return [words.IDS[word] for word in cue]


def _clause(adjectives, adverb, phrase):
    """Word classes of one clause: 5 words, one more for each adjective and the adverb, 3 for the phrase."""
    classes = [_DETERMINER] + [_ADJECTIVE] * (adjectives > 0) + [_NOUN] + [_ADVERB] * adverb
    classes += [_VERB, _DETERMINER] + [_ADJECTIVE] * (adjectives > 1) + [_NOUN]
    return classes + ([_PREPOSITION, _DETERMINER, _NOUN] if phrase else [])


def _sentence_classes():
    """For each sentence length (its stop included) the word classes of every shape of that length."""
    clauses = [_clause(adjectives, adverb, phrase)
               for adjectives in range(3) for adverb in range(2) for phrase in range(2)]
    shapes = {length: [] for length in range(SHORTEST_SENTENCE, LONGEST_SENTENCE + 1)}
    for first in clauses:
        shapes[len(first) + 1].append(first)
        for second in clauses:
            both = first + [_CONJUNCTION] + second
            if len(both) < LONGEST_SENTENCE:
                shapes[len(both) + 1].append(both)
    return shapes


_SHAPES = _sentence_classes()


def _sentence_lengths(total, rng):
    """Lengths between the shortest and the longest sentence that add up to `total`."""
    lengths = []
    while total:
        longest = min(LONGEST_SENTENCE, total)
        length = int(rng.integers(SHORTEST_SENTENCE, longest + 1))
        if 0 < total - length < SHORTEST_SENTENCE:
            length = total if total <= LONGEST_SENTENCE else total - 2 * SHORTEST_SENTENCE
        lengths.append(length)
        total -= length
    return lengths


def _filler(length, rng):
    shapes = _SHAPES[length]
    classes = np.array(shapes[rng.integers(len(shapes))])
    ids = _POOL_START[classes] + (rng.random(len(classes)) * _POOL_SIZE[classes]).astype(int)
    return ids.tolist() + [_STOP]


def _slots(count, sentences, depth, skew, rng):
    """Before which filler sentence each needle stands; the first is the asked one, at `depth` of the haystack."""
    slots = (rng.random(count) ** skew * (sentences + 1)).astype(int)
    if depth is not None:
        slots[0] = round(depth * sentences)
    return slots


def make_prompt(length, seed, needles=4, depth=None, skew=1):
    """A Prompt of exactly `length` tokens; `depth` in [0, 1] places the asked needle (None: anywhere). A `skew` above 1
    crowds the needles at the beginning."""
    rng = np.random.default_rng(seed)
    filler = length - 1 - QUESTION_LENGTH - needles * NEEDLE_LENGTH
    if filler < SHORTEST_SENTENCE:
        raise ValueError(f"{length} tokens are too few for {needles} needles")
    names = rng.permutation(_NAMES)[:needles].tolist()
    answers = rng.permutation(_ANSWERS)[:needles * ANSWER_LENGTH].reshape(needles, ANSWER_LENGTH)
    lengths = _sentence_lengths(filler, rng)
    slots = _slots(needles, len(lengths), depth, skew, rng)
    tokens, starts, placed = [_BOS], [], [None] * needles

    for sentence in range(len(lengths) + 1):
        for index in np.flatnonzero(slots == sentence):
            starts.append(len(tokens))
            tokens += _ids(NEEDLE_CUE) + [names[index]] + answers[index].tolist() + [_STOP]
            placed[index] = Needle(starts[-1], len(tokens), names[index], answers[index])
        if sentence < len(lengths):
            starts.append(len(tokens))
            tokens += _filler(lengths[sentence], rng)
    starts[0] = 0
    starts.append(len(tokens))
    tokens += _ids(QUESTION_CUE) + [names[0]]
    return Prompt(np.array(tokens, np.int32), np.array(starts, np.int32), placed, placed[0])


def practice_sequence(length, rng):
    """Training sequence that asks for every needle in turn, often for distant ones: tokens int32 [length], mask bool of
    the answers."""
    question = QUESTION_LENGTH + ANSWER_LENGTH + 1
    most = (length - 1 - SHORTEST_SENTENCE) // (question + NEEDLE_LENGTH)
    asked = int(rng.integers(min(2, most), min(6, most) + 1))
    prompt = make_prompt(length - asked * question + QUESTION_LENGTH, rng.integers(2**63), asked,
                         skew=rng.integers(1, LARGEST_SKEW + 1))
    tokens = prompt.tokens[:-QUESTION_LENGTH].tolist()
    mask = [False] * len(tokens)
    for needle in prompt.needles:
        tokens += _ids(QUESTION_CUE) + [needle.name] + needle.answer.tolist() + [_STOP]
        mask += [False] * QUESTION_LENGTH + [True] * (ANSWER_LENGTH + 1)
    return np.array(tokens, np.int32), np.array(mask)
