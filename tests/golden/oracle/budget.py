"""Budget, section 2 of the page."""
import math

from .arguments import Arguments
from .refusal import Refusal


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
    return min(-(-budget // multiple) * multiple, tokens)


def raised_budgets(arguments: Arguments, tokens: int) -> list[int]:
    """Returns every B that RAISE_BUDGET tries, ascending; the first is token_budget's."""
    budgets = [token_budget(arguments, tokens)]
    most = tokens if arguments.max_raised_tokens is None else min(arguments.max_raised_tokens, tokens)
    while budgets[-1] < most:
        budgets.append(min(2 * budgets[-1], most))
    return budgets
