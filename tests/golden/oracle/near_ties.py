"""Near ties: what a float32 implementation may choose differently."""
import numpy as np

from .layer import Layer, Model
from .ranking import Ranking
from .token_scores import visible_keys


def near_tie_tolerance(layer: Layer, model: Model) -> float:
    """Returns t: two scores tie where they differ by at most t times the larger."""
    if layer.q is None:
        return 1e-5
    queries, heads, head_size = layer.q.shape
    keys = np.repeat(np.abs(layer.k.astype(np.float64)), heads // layer.k.shape[1], axis=1)
    products = np.einsum("ihd,jhd->hij", np.abs(layer.q.astype(np.float64)), keys)
    largest = products[:, visible_keys(queries, len(layer.k))].max()
    return max(1e-5, 2.0 ** -20 * model.scale_for(head_size) * largest)


def visit_steps(selection: list[int], ranking: Ranking) -> list[list[int]] | None:
    """Returns the spans [taken whole], [the one cut], [left out] that selection implies; None where no visit gives it."""
    chosen = set(selection) - set(ranking.always)
    if sorted(set(selection)) != list(selection) or not set(ranking.always) <= set(selection) or len(chosen) != ranking.room:
        return None
    steps, explained = [[], [], []], set()
    for span, (start, stop) in enumerate(ranking.spans):
        inside = sum(position in chosen for position in range(start, stop))
        if chosen.intersection(range(start, stop)) != set(range(start, start + inside)):
            return None
        explained.update(range(start, start + inside))
        steps[0 if inside == stop - start else 1 if inside else 2].append(span)
    return steps if explained == chosen and len(steps[1]) <= 1 else None


def score_steps(steps: list[list[int]], scores: np.ndarray) -> list[tuple[float, float]]:
    """Returns (lowest score above, highest score below) for each cut between steps."""
    cuts = []
    for cut in (1, 2):
        above = [scores[span] for step in steps[:cut] for span in step]
        below = [scores[span] for step in steps[cut:] for span in step]
        if above and below:
            cuts.append((min(above), max(below)))
    return cuts


def is_acceptable(selection: list[int], oracle_scores: Ranking, t: float) -> bool:
    """Whether some reordering of near ties makes the visit keep exactly selection."""
    steps = visit_steps(selection, oracle_scores)
    if steps is None:
        return False
    return all(below - above <= t * max(above, below) for above, below in score_steps(steps, oracle_scores.scores))


def cut_gap(ranking: Ranking) -> float:
    """Returns the smallest relative distance between scores on two sides of a cut; inf where nothing is cut."""
    steps = visit_steps(ranking.kept_positions(), ranking)
    gaps = [(above - below) / max(above, below) if above > 0 else 0.0 for above, below in score_steps(steps, ranking.scores)]
    return min(gaps, default=np.inf)
