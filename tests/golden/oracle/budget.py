"""Budget, section 2 of the page."""
import math

from .arguments import Arguments
from .refusal import Refusal


def rounded_up(tokens: int, multiple: int) -> int:
    return -(-tokens // multiple) * multiple


def token_budget(arguments: Arguments, tokens: int) -> int:
    """Returns B, the tokens kept in every layer; L where everything is kept."""
    if arguments.policy == "full" or tokens <= arguments.window_length:
        return tokens
    multiple, least = arguments.budget_multiple, arguments.always_kept
    if arguments.max_tokens is not None:
        if arguments.max_tokens >= tokens:
            return tokens
        if arguments.max_tokens < least:
            raise Refusal("BUDGET_BELOW_WINDOW")
        return max(arguments.max_tokens // multiple * multiple, least)
    budget = max(math.floor(arguments.keep_ratio * tokens + 0.5), least)
    return min(rounded_up(budget, multiple), tokens)


def raised_budgets(arguments: Arguments, tokens: int) -> list[int]:
    """Returns every B that RAISE_BUDGET tries, ascending; the first is token_budget's.

    Each after the first is a multiple of budget_multiple, or L: a doubled one is rounded up (the first may be
    w + sink_tokens, which need not be a multiple); max_raised_tokens is rounded down, as max_tokens is, and never
    lowers a B.
    """
    multiple = arguments.budget_multiple
    budgets = [token_budget(arguments, tokens)]
    most = tokens
    if arguments.max_raised_tokens is not None and arguments.max_raised_tokens < tokens:
        most = arguments.max_raised_tokens // multiple * multiple
    while budgets[-1] < most:
        budgets.append(min(rounded_up(2 * budgets[-1], multiple), most))
    return budgets
