"""What names a model, a shard and a prompt, from proto/chunkkv/v1 alone."""

import hashlib

import numpy as np
from chunkkv.v1 import get_pb2, identity_pb2
from spec_rules import is_spec

MAX_TEXT = 1024
MAX_NAMES = 64
MAX_BLOCK_SIZE = 4096
BLOCK_SIZE = 64


def _is_text(text: str, required: bool) -> bool:
    control = any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in text)
    path = text.startswith("/") or "../" in text or "%2e" in text.lower()
    return not control and not path and len(text.encode()) <= MAX_TEXT and (bool(text) or not required)


def is_model(model: identity_pb2.ModelIdentity) -> bool:
    texts = [(model.name, True), (model.revision, True), (model.kv_dtype, True), (model.quantization, False),
             (model.rope, False)]
    return (all(_is_text(text, required) for text, required in texts) and len(model.adapters) <= MAX_NAMES
            and all(_is_text(adapter.name, True) and _is_text(adapter.revision, False) for adapter in model.adapters)
            and model.layer_count > 0 and model.kv_head_count > 0 and model.key_head_size > 0
            and model.value_head_size >= 0)


def _is_part(first: int, count: int, total: int) -> bool:
    return total == 0 or first + (count or total) <= total


def is_shard(shard: identity_pb2.Shard, layer_count: int, kv_head_count: int) -> bool:
    """Of a model of this shape; zeros: it is not known."""
    numbers = [value for _, value in shard.ListFields()]
    return (all(number >= 0 for number in numbers) and shard.tp_rank < max(1, shard.tp_size)
            and shard.pp_rank < max(1, shard.pp_size) and _is_part(shard.first_layer, shard.layer_count, layer_count)
            and _is_part(shard.first_kv_head, shard.kv_head_count, kv_head_count))


def shape_of(message) -> tuple[int, int]:
    """(layers, KV heads) of the model that is meant, which a fingerprint does not tell: zeros."""
    return message.model.layer_count, message.model.kv_head_count


def is_model_ref(message) -> bool:
    chosen = message.WhichOneof("model_ref")
    if chosen == "model":
        return is_model(message.model)
    return chosen == "fingerprint" and len(message.fingerprint) == 32


def _digests_of(tokens, extra) -> list[bytes]:
    digests = []
    for block in range(-(-len(tokens) // BLOCK_SIZE)):
        words = np.array(tokens[block * BLOCK_SIZE:(block + 1) * BLOCK_SIZE], "<u4").tobytes()
        digests.append(hashlib.sha256(b"".join([*digests[-1:], words, *extra[block:block + 1]])).digest())
    return digests


def has_blocks(prompt: identity_pb2.PromptKey) -> bool:
    return bool(prompt.tokens or prompt.block_digests)


def tokens_covered(prompt: identity_pb2.PromptKey) -> int:
    """By the blocks of a good prompt that has some."""
    if prompt.tokens:
        return len(prompt.tokens)
    return prompt.token_count or len(prompt.block_digests) * (prompt.block_size or BLOCK_SIZE)


def is_prompt(prompt: identity_pb2.PromptKey) -> bool:
    given = list(prompt.block_digests)
    if len(prompt.key) not in (0, 32) or any(len(digest) != 32 for digest in given):
        return False
    if prompt.tokens:
        blocks = -(-len(prompt.tokens) // BLOCK_SIZE)
        derived = _digests_of(prompt.tokens, prompt.block_extra)
        return (prompt.block_size in (0, BLOCK_SIZE) and len(prompt.block_extra) in (0, blocks)
                and prompt.token_count in (0, len(prompt.tokens)) and given in ([], derived)
                and prompt.key in (b"", derived[-1]))
    if given:
        size = prompt.block_size or BLOCK_SIZE
        most = len(given) * size
        return (1 <= size <= MAX_BLOCK_SIZE and not prompt.block_extra
                and most - size < (prompt.token_count or most) <= most and prompt.key in (b"", given[-1]))
    return bool(prompt.key)


def is_accept(accept: get_pb2.Accept) -> bool:
    match accept.WhichOneof("rule"):
        case "exact":
            return accept.exact
        case "variant":
            return len(accept.variant) == 32
        case "spec":
            return is_spec(accept.spec)
        case "least_lossy":
            return accept.least_lossy
    return False
