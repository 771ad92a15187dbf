"""What the two sides are asked, and their answers as the client is to see them."""

from dataclasses import dataclass

PLACEHOLDER = 0  # any token id: it is never computed
TEMPLATE = ("tools", "chat_template", "chat_template_kwargs", "add_generation_prompt", "continue_final_message")
# What makes the prompt, and is handed on to the prefill side.
PROMPT = {"model", "prompt", "messages", "add_special_tokens", "cache_salt", *TEMPLATE}
# What leaves it as it is.
SAMPLING = {
    "stream", "stream_options", "max_tokens", "max_completion_tokens", "min_tokens", "temperature", "top_p", "top_k",
    "min_p", "n", "best_of", "seed", "stop", "stop_token_ids", "include_stop_str_in_output", "ignore_eos",
    "presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty", "logit_bias", "allowed_token_ids",
    "bad_words", "logprobs", "top_logprobs", "prompt_logprobs", "echo", "suffix", "user", "skip_special_tokens", "spaces_between_special_tokens",
    "response_format", "structured_outputs", "tool_choice", "parallel_tool_calls", "priority", "request_id",
    "return_token_ids", "return_tokens_as_token_ids", "metadata", "store", "service_tier"}
# Of a chat's body what a completion does not have.
CHAT_ONLY = ("messages", "max_completion_tokens", "logprobs", "top_logprobs", "tool_choice", "parallel_tool_calls",
             "add_special_tokens", "metadata", "store", "service_tier", *TEMPLATE)


class Refused(Exception):
    """A request that cannot be answered as it is."""


@dataclass(frozen=True)
class Handed:
    """tokens: of the prompt. room: how many tokens may follow them. transfer: what the prefill says of the cache."""

    tokens: list
    room: int
    transfer: dict


def check_compacted(body, asked):
    """Errors: Refused where a compacted cache is not asked for, or cannot give what is."""
    if not isinstance(asked, dict) or not {"keep_ratio", "max_tokens"} & asked.keys():
        raise Refused("chunkkv is an object with keep_ratio or max_tokens")
    if body.get("echo") or body.get("prompt_logprobs") is not None:
        raise Refused("echo and prompt_logprobs need the whole prompt, which a compacted cache does not hold")
    if body.get("tools"):
        raise Refused("tools need the decode side's own chat, which a compacted cache does not go through")


def may_hand_over(body):
    """Whether the prefill side computes the same prompt: all that makes it is text, and known here."""
    if not body.keys() <= PROMPT | SAMPLING:
        return False
    messages = body.get("messages")
    if not isinstance(messages, list):
        return isinstance(body.get("prompt"), str)
    return all(isinstance(message, dict) and isinstance(message.get("content"), (str, type(None))) for message in messages)


def tokenize_body(body):
    kind = "messages" if "messages" in body else "prompt"
    names = ("model", kind, "add_special_tokens", *(TEMPLATE if kind == "messages" else ()))
    return {name: body[name] for name in names if name in body}


def prefill_body(body, tokens, asked):
    transfer = (asked or {}) | {"role": "producer"}
    own = {name: body[name] for name in ("model", "cache_salt") if name in body}
    return own | {"prompt": tokens, "max_tokens": 1, "kv_transfer_params": {"chunkkv": transfer}}


def handed_of(reply, prompt):
    """prompt: as it was tokenized. Errors: KeyError where the prefill has no cache to hand over."""
    transfer = reply["kv_transfer_params"]["chunkkv"]
    if "error" in transfer:
        raise KeyError(transfer["error"])
    return Handed(prompt["tokens"], prompt["max_model_len"] - len(prompt["tokens"]), transfer)


def compacted_body(body, handed):
    """A completion that goes on from the compacted cache."""
    transfer = handed.transfer
    made = dict(body)
    if "messages" in body:
        made = {name: value for name, value in body.items() if name not in CHAT_ONLY}
        made["max_tokens"] = body.get("max_completion_tokens") or body.get("max_tokens") or handed.room
        made |= {"logprobs": body.get("top_logprobs") or 1} if body.get("logprobs") else {}
    made["prompt"] = [PLACEHOLDER] * (transfer["rows"] - 1) + handed.tokens[-1:]
    made["cache_salt"] = transfer["salt"]
    made["kv_transfer_params"] = {"chunkkv": {"role": "consumer", **transfer}}
    return made


def whole_body(body, handed):
    """The request as it came; from the whole cache where one was handed over."""
    if handed is None:
        return body
    return body | {"kv_transfer_params": {"chunkkv": {"role": "consumer"}}}


class Answer:
    """Turns the answers to a compacted request into those to the request as it came: the prompt's true length and tokens,
    and a chat's form where it was a chat."""

    def __init__(self, is_chat, tokens):
        self._is_chat, self._tokens = is_chat, tokens
        self._begun = set()  # choices that have said whose they are

    def whole(self, content):
        return self._with_prompt(content, self._chat_choice, "chat.completion")

    def part(self, event):
        return self._with_prompt(event, self._chat_delta, "chat.completion.chunk")

    def _with_prompt(self, content, chat_choice, kind):
        content = {name: value for name, value in content.items() if name not in ("kv_transfer_params", "prompt_logprobs")}
        usage = content.get("usage")
        if usage:
            usage |= {"prompt_tokens": len(self._tokens),
                      "total_tokens": len(self._tokens) + usage.get("completion_tokens", 0)}
        choices = [dict(choice) for choice in content.get("choices", ())]
        for choice in choices:
            if choice.get("prompt_token_ids") is not None:
                choice["prompt_token_ids"] = self._tokens
        if self._is_chat:
            content |= {"object": kind, "id": content["id"].replace("cmpl-", "chatcmpl-")}
            if any(choice.get("prompt_token_ids") is not None for choice in choices):
                content["prompt_token_ids"] = self._tokens
            choices = [chat_choice(choice) for choice in choices]
        return content | {"choices": choices}

    def _chat_choice(self, choice):
        return _chat_fields(choice) | {"message": {"role": "assistant", "content": choice["text"]}}

    def _chat_delta(self, choice):
        role = {} if choice["index"] in self._begun else {"role": "assistant"}
        self._begun.add(choice["index"])
        return _chat_fields(choice) | {"delta": role | {"content": choice["text"]}}


def _chat_fields(choice):
    """What a chat's choice has of a completion's, but for the text."""
    ids = {"token_ids": choice["token_ids"]} if choice.get("token_ids") is not None else {}
    return ids | {"index": choice["index"], "finish_reason": choice["finish_reason"], "logprobs": _chat_logprobs(choice)}


def _chat_logprobs(choice):
    given = choice.get("logprobs")
    if not given:
        return None
    rows = zip(given["tokens"], given["token_logprobs"], given["top_logprobs"] or [{}] * len(given["tokens"]))
    return {"content": [_token(token, logprob) | {"top_logprobs": [_token(*pair) for pair in (top or {}).items()]}
                        for token, logprob, top in rows]}


def _token(token, logprob):
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}
