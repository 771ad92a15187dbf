"""Small puts, one of each kind: a good Begin, and the messages that follow it."""

import numpy as np
import sample_caches
import xxhash
from chunkkv.v1 import payload_pb2, put_pb2

TOKENS, WINDOW = 24, 4
STATE_BYTES = 10
KEPT = [[0, 3, 20, 23], [1, 2, 22]]  # of the external put
_random = np.random.default_rng(0)
_ATTENTION = {"query_head_count": 4, "kv_head_count": 2, "key_head_size": 8, "value_head_size": 4,
              "dtype": "DTYPE_F32"}
_LAYOUT = [{"layer_count": 2, "attention": _ATTENTION},
           {"first_layer": 2, "layer_count": 1,
            "verbatim": {"tensors": [{"name": "state", "size_bytes": STATE_BYTES}]}}]


def _begin(**more) -> put_pb2.Begin:
    return put_pb2.Begin(model=sample_caches.model().to_wire(), shard={}, layout=_LAYOUT, token_count=TOKENS,
                         prompt={"key": bytes(32)}, **more)


def full() -> put_pb2.Begin:
    return _begin(spec={"policy": "POLICY_FULL"}, ttl_ms=1000, pin_ms=1)


def scored(source="SCORE_SOURCE_TOKEN_SCORES", **more) -> put_pb2.Begin:
    spec = {"policy": "POLICY_CHUNK_KV", "max_tokens": 12, "window_length": WINDOW, "chunk_length": 3, **more}
    return _begin(spec=spec, scores={"source": source, "dtype": "DTYPE_F32"}, order="ANY")


def external() -> put_pb2.Begin:
    return _begin(spec={"policy": "POLICY_EXTERNAL", "label": "by hand"}, group_row_counts=map(len, KEPT))


def part(layer: int, tensor: str, kind: str, begin: int, end: int, unit_bytes: int, name="") -> put_pb2.PutCacheRequest:
    """unit_bytes: of a row, or 1."""
    data = _random.random((end - begin) * unit_bytes // 4 + 1, np.float32).tobytes()[:(end - begin) * unit_bytes]
    return put_pb2.PutCacheRequest(part=payload_pb2.Part(
        layer=layer, tensor=f"TENSOR_KIND_{tensor}", name=name, range=f"RANGE_KIND_{kind}", begin=begin, end=end,
        payload={"checksum": xxhash.xxh3_64_intdigest(data), "inline": data}))


def messages_of(begin: put_pb2.Begin) -> list[put_pb2.PutCacheRequest]:
    """A good put of one of the begins above."""
    messages = [put_pb2.PutCacheRequest(begin=begin)]
    is_external = bool(begin.group_row_counts)
    for layer in range(2):
        rows, kind = (len(KEPT[layer]), "KEPT_ROWS") if is_external else (TOKENS, "TOKENS")
        if is_external:
            messages.append(put_pb2.PutCacheRequest(positions={"group": layer, "positions": KEPT[layer]}))
        if begin.HasField("scores"):
            messages.append(part(layer, "TOKEN_SCORES", "BYTES", 0, 4 * (TOKENS - WINDOW), 1))
        for tensor, row_bytes in (("KEYS", 64), ("VALUES", 32)):
            messages += [part(layer, tensor, kind, 0, 2, row_bytes), part(layer, tensor, kind, 2, rows, row_bytes)]
    messages.append(part(2, "NAMED", "BYTES", 0, STATE_BYTES, 1, "state"))
    messages.append(put_pb2.PutCacheRequest(commit={}))
    return messages
