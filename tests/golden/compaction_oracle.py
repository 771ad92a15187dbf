"""The whole of compaction over a cache: groups, guardrails, report and gather (sections 4, 5, 7)."""
from dataclasses import dataclass

import numpy as np

from oracle.arguments import Arguments
from oracle.budget import raised_budgets
from oracle.layer import Layer, Model
from oracle.ranking import Ranking, rank
from oracle.refusal import Refusal
from oracle.token_scores import token_scores


@dataclass
class Group:
    layers: list[int]
    leader: int | None  # None where all choose

    @property
    def scored(self) -> list[int]:
        return self.layers if self.leader is None else [self.leader]


@dataclass
class Compaction:
    """The reply: lists are per group (positions, rankings), per layer (retained_mass) or per pair of groups (jaccard)."""

    budget: int
    policy_applied: str
    positions: list[list[int]]
    rankings: list[Ranking]
    retained_mass: list[float | None]
    jaccard: list[float]
    token_scores: dict[int, np.ndarray]


def reuse_groups(arguments: Arguments, layers: int) -> list[Group]:
    size = arguments.reuse_group
    groups = [list(range(start, min(start + size, layers))) for start in range(0, layers, size)]
    if arguments.group_score == "sum":
        return [Group(group, None) for group in groups]
    leaders = arguments.leaders or [group[0] for group in groups]
    return [Group(group, leader) for group, leader in zip(groups, leaders, strict=True)]


def retained_mass(scores: np.ndarray, positions: list[int]) -> float:
    """scores: the layer's own, unpooled [P]."""
    total = scores.sum()
    return float(scores[[position for position in positions if position < len(scores)]].sum() / total) if total > 0 else 1.0


def jaccard_similarity(one: list[int], other: list[int], first: int, past: int) -> float:
    """Over positions in [first, past); 1 where both lists have none there."""
    a, b = ({position for position in kept if first <= position < past} for kept in (one, other))
    return len(a & b) / len(a | b) if a | b else 1.0


def compact(layers: list[Layer], model: Model, arguments: Arguments, chunk_starts: list[int] | None = None) -> Compaction:
    tokens = len(layers[0].k)
    past = max(0, tokens - arguments.window_length)
    groups = reuse_groups(arguments, len(layers))
    scored = [layer for group in groups for layer in group.scored] if arguments.uses_scores else []
    budgets = raised_budgets(arguments, tokens)
    scores = {layer: token_scores(layers[layer], model, past) for layer in scored}

    def attempt(policy: str, budget: int) -> Compaction:
        def group_ranking(group: Group) -> Ranking:
            total = sum(scores[layer] for layer in group.scored) if scored else None
            return rank(arguments, budget, tokens, total, chunk_starts)

        rankings = [group_ranking(group) for group in groups]
        positions = [ranking.kept_positions() for ranking in rankings]
        masses = [retained_mass(scores[layer], kept) if layer in scores else None
                  for group, kept in zip(groups, positions) for layer in group.layers]
        similarities = [jaccard_similarity(one, other, arguments.sink_tokens, past)
                        for one, other in zip(positions, positions[1:])]
        return Compaction(budget, policy, positions, rankings, masses, similarities, scores)

    def passes(result: Compaction) -> bool:
        least = arguments.min_retained_mass
        return least is None or all(mass is None or mass >= least for mass in result.retained_mass)

    for budget in budgets if arguments.on_low_mass == "raise_budget" else budgets[:1]:
        result = attempt(arguments.policy, budget)
        if passes(result):
            return result
    if arguments.on_low_mass == "keep_full":
        return attempt("full", tokens)
    raise Refusal("LOW_RETAINED_MASS", result.budget, result.retained_mass)


def gather(rows: np.ndarray, positions: list[int]) -> np.ndarray:
    """rows [L,...], any dtype. Returns [B,...], bit for bit."""
    return rows[positions]
