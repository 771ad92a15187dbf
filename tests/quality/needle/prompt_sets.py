"""The seeded prompts of the laboratory."""

from dataclasses import dataclass

from prompts import make_prompt

FIRST_SEED = 70_000  # not among the prompts on which the service's defaults were chosen
LENGTH = 1024
HEAT_LENGTHS = (128, 256, 384, 512, 768, 1024)
HEAT_DEPTHS = tuple(step / 10 for step in range(11))


@dataclass(frozen=True)
class Recipe:
    """What makes one prompt."""
    length: int
    seed: int
    depth: float

    def __str__(self):
        return f"{self.length} tokens, seed {self.seed}, depth {self.depth}"

    def prompt(self):
        return make_prompt(self.length, self.seed, depth=self.depth)


@dataclass(frozen=True)
class PromptSet:
    name: str
    recipes: tuple[Recipe, ...]


def main_set(count, length=LENGTH):
    """`count` prompts of one length, the asked needle at every depth from 0 to 1."""
    return PromptSet("main", tuple(Recipe(length, FIRST_SEED + index, index / max(1, count - 1))
                                   for index in range(count)))


def confirmation_set(count, length):
    """`count` prompts, unlike those of the main set, the asked needle at every depth."""
    return PromptSet("confirmation", tuple(Recipe(length, 4 * FIRST_SEED + index, index / max(1, count - 1))
                                           for index in range(count)))


def heat_set(count, lengths=HEAT_LENGTHS, depths=HEAT_DEPTHS):
    """`count` prompts of every length and depth."""
    places = [(length, depth) for length in lengths for depth in depths for _ in range(count)]
    return PromptSet("heat", tuple(Recipe(length, 2 * FIRST_SEED + index, depth)
                                   for index, (length, depth) in enumerate(places)))
