"""Server-sent events of a completion."""

import json


async def first_and_rest(reply):
    """The first event, None where there is none, and an iterator over those that follow."""
    rest = _events(reply)
    return await anext(rest, None), rest


def failed(content):
    """Whether an answer, or a part of one, says that the engine could not."""
    return "error" in content or any(choice.get("finish_reason") == "error" for choice in content.get("choices", ()))


async def _events(reply):
    async for line in reply.aiter_lines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))
