"""What the proxy asks of the two sides, and does with their answers."""
import sys

import pytest
from programs import ROOT

sys.path[:0] = [str(ROOT / "client/python/examples/disaggregated")]
import bodies  # noqa: E402
import proxy  # noqa: E402

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
TEXT = {"model": "m", "prompt": "hello"}
HANDED = bodies.Handed([5, 6, 7], 100, {"key": "00", "variant": "11", "rows": 2, "tokens": 3, "salt": "s"})


@pytest.mark.parametrize("body,is_handed", [
    (TEXT, True), (CHAT, True), (TEXT | {"temperature": 0, "cache_salt": "s", "add_special_tokens": False}, True),
    (CHAT | {"chat_template_kwargs": {"a": 1}, "tools": []}, True), ({"model": "m"}, False),
    (TEXT | {"prompt": [1, 2]}, False), (TEXT | {"truncate_prompt_tokens": 5}, False), (CHAT | {"documents": []}, False),
    (CHAT | {"messages": "hello"}, False),
    (CHAT | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]}, False),
    (TEXT | {"a field of tomorrow": 1}, False)])
def test_only_what_is_understood_is_handed_over(body, is_handed):
    assert bodies.may_hand_over(body) == is_handed


@pytest.mark.parametrize("body,asked", [
    (TEXT, {}), (TEXT, {"chunks": "grid"}), (TEXT, "x"), (TEXT, [1]), (TEXT | {"echo": True}, {"keep_ratio": 0.2}),
    (TEXT | {"prompt_logprobs": 0}, {"max_tokens": 64}), (CHAT | {"tools": [{}]}, {"keep_ratio": 0.2})])
def test_what_a_compacted_cache_cannot_give_is_refused(body, asked):
    with pytest.raises(bodies.Refused):
        bodies.check_compacted(body, asked)


def test_the_prefill_computes_the_same_prompt():
    body = CHAT | {"add_special_tokens": True, "chat_template_kwargs": {"a": 1}, "cache_salt": "s", "temperature": 0.5}
    assert bodies.tokenize_body(body) == CHAT | {"add_special_tokens": True, "chat_template_kwargs": {"a": 1}}
    assert bodies.prefill_body(body, [5, 6], {"keep_ratio": 0.2, "role": "consumer"}) == {
        "model": "m", "prompt": [5, 6], "max_tokens": 1, "cache_salt": "s",
        "kv_transfer_params": {"chunkkv": {"role": "producer", "keep_ratio": 0.2}}}


@pytest.mark.parametrize("limits,limit", [({}, 100), ({"max_tokens": 7}, 7), ({"max_completion_tokens": 8}, 8)])
def test_a_chat_without_a_limit_has_the_room_of_its_prompt(limits, limit):
    body = bodies.compacted_body(CHAT | limits | {"logprobs": True, "top_logprobs": 3}, HANDED)
    assert body == {"model": "m", "max_tokens": limit, "logprobs": 3, "prompt": [bodies.PLACEHOLDER, 7], "cache_salt": "s",
                    "kv_transfer_params": {"chunkkv": {"role": "consumer", **HANDED.transfer}}}


def test_answers_have_the_prompts_true_tokens():
    answer = bodies.Answer(True, HANDED.tokens)
    content = answer.whole({
        "id": "cmpl-1", "object": "text_completion",
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
        "choices": [{"index": 0, "finish_reason": "stop", "text": "hi", "token_ids": [9], "prompt_token_ids": [0, 7]}]})
    assert content == {
        "id": "chatcmpl-1", "object": "chat.completion", "prompt_token_ids": [5, 6, 7],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "token_ids": [9],
                     "message": {"role": "assistant", "content": "hi"}}]}


def test_each_choice_of_a_streamed_chat_begins_with_its_role():
    answer = bodies.Answer(True, HANDED.tokens)
    deltas = [answer.part({"id": "cmpl-1", "choices": [{"index": index, "finish_reason": None, "text": "a"}]})
              ["choices"][0]["delta"] for index in (0, 1, 0)]
    begun = {"role": "assistant", "content": "a"}
    assert deltas == [begun, begun, {"content": "a"}]


class Reply:
    is_closed = False

    async def aclose(self):
        self.is_closed = True


async def test_a_client_that_goes_ends_what_is_computed_for_it():
    async def rest():
        yield {"part": 2}

    reply = Reply()
    events = proxy.Proxy("http://prefill", "http://decode")._events(reply, {"part": 1}, rest(), None)
    assert await anext(events) == 'data: {"part": 1}\n\n'
    await events.aclose()
    assert reply.is_closed
