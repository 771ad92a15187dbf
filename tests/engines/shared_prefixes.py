"""Prompts that share their beginnings, as those of a chat or of documents asked about do."""
import random


def prompts(seed: int, count: int, longest: int, vocabulary: int, shortest: int = 30) -> list[list[int]]:
    """Token ids of `count` prompts of `shortest` to `longest` tokens: one root in twelve, cut anywhere, and a tail."""
    draw = random.Random(seed)

    def tokens(length):
        return [draw.randrange(3, vocabulary) for _ in range(length)]

    roots = [tokens(draw.randrange(shortest, longest)) for _ in range(max(3, count // 12))]
    made = []
    for _ in range(count):
        root = draw.choice(roots)
        begin = root[:draw.randrange(len(root) + 1)]
        made.append((begin + tokens(draw.randrange(shortest, max(shortest + 1, min(400, longest - len(begin))))))[:longest])
    return made
