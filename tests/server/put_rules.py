"""What may follow the good Begin of a put, message by message, from put.proto and payload.proto."""

import layout_rules
import spec_rules
import xxhash
from chunkkv.v1 import compaction_pb2, payload_pb2, put_pb2
from statuses import FAILED_PRECONDITION, INVALID, NOT_FOUND, OK, UNIMPLEMENTED

MAX_PART_BYTES = 2 * 1024 * 1024
TOKENS, KEPT_ROWS, BYTES = (payload_pb2.RANGE_KIND_TOKENS, payload_pb2.RANGE_KIND_KEPT_ROWS,
                            payload_pb2.RANGE_KIND_BYTES)


class PutRules:
    """One stream of a put that sends everything, scored from token scores, if at all. Groups are single layers."""

    def __init__(self, begin: put_pb2.Begin):
        self._begin = begin
        self._is_external = begin.spec.policy == compaction_pb2.POLICY_EXTERNAL
        self._missing: dict[tuple, set[int]] = {}  # of each tensor: rows or bytes that have not come
        self._unit: dict[tuple, tuple[int, int]] = {}  # of each tensor: its range kind, and bytes of a row
        self._positions_missing: set[int] = set()
        self._last_layer = 0
        attention_layer = 0
        for run in begin.layout:
            for layer in range(run.first_layer, run.first_layer + run.layer_count):
                if run.HasField("attention"):
                    self._expect_rows(layer, attention_layer, run.attention)
                    attention_layer += 1
                for tensor in run.verbatim.tensors:
                    self._expect(layer, "NAMED", tensor.name, BYTES, tensor.size_bytes, 1)

    def _expect_rows(self, layer: int, group: int, run) -> None:
        rows, kind = self._begin.token_count, TOKENS
        if self._is_external:
            rows, kind = self._begin.group_row_counts[group], KEPT_ROWS
            self._positions_missing.add(group)
        for tensor, row_bytes in layout_rules.row_bytes(run).items():
            self._expect(layer, tensor, "", kind, rows, row_bytes)
        if self._begin.scores.source:
            past = self._begin.token_count - spec_rules.window(self._begin.spec)
            self._expect(layer, "TOKEN_SCORES", "", BYTES, 4 * past, 1)

    def _expect(self, layer: int, tensor: str, name: str, kind: int, count: int, unit_bytes: int) -> None:
        key = (layer, payload_pb2.TensorKind.Value(f"TENSOR_KIND_{tensor}"), name)
        self._missing[key] = set(range(count))
        self._unit[key] = (kind, unit_bytes)

    def statuses_of(self, first: put_pb2.PutCacheRequest, *messages: put_pb2.PutCacheRequest) -> set[int]:
        """Of a stream of these messages, in one go, that is then half-closed."""
        if first.WhichOneof("message") == "attach":
            return {NOT_FOUND if len(first.attach.session_id) == 16 else INVALID}
        if first.WhichOneof("message") != "begin":
            return {INVALID}
        if first.begin != self._begin:  # an almost empty one, made of another message
            return {INVALID, UNIMPLEMENTED}
        for index, message in enumerate(messages):
            kind = message.WhichOneof("message")
            if kind == "commit":
                statuses = self._statuses_of_commit(message.commit)
                # A server that has waited for long enough takes the put for done.
                return statuses if index == len(messages) - 1 else statuses | {INVALID}
            if kind == "part":
                refusals = self._refusals_of_part(message.part)
            else:
                refusals = set() if kind == "positions" and self._takes_positions(message.positions) else {INVALID}
            if refusals:
                return refusals
        return {INVALID}

    def _statuses_of_commit(self, commit: put_pb2.Commit) -> set[int]:
        # Bytes that come by chance digest to nothing that was sent.
        is_complete = not any(self._missing.values()) and not self._positions_missing
        return {OK} if is_complete and not commit.content_digest else {INVALID}

    def _takes_positions(self, message: put_pb2.KeptPositions) -> bool:
        positions = list(message.positions)
        if (message.group not in self._positions_missing or positions != sorted(set(positions))
                or len(positions) != self._begin.group_row_counts[message.group]
                or not 0 <= positions[0] <= positions[-1] < self._begin.token_count):
            return False
        self._positions_missing.remove(message.group)
        return True

    def _refusals_of_part(self, part: payload_pb2.Part) -> set[int]:
        carrier = part.payload.WhichOneof("carrier")
        if carrier in ("region", "nccl"):  # which this server has not
            return {INVALID, FAILED_PRECONDITION, NOT_FOUND}
        return set() if self._takes(part) else {INVALID}

    def _takes(self, part: payload_pb2.Part) -> bool:
        key = (part.layer, part.tensor, part.name)
        if key not in self._unit or not 0 <= part.begin < part.end or part.layer in self._positions_missing:
            return False
        if self._begin.order != put_pb2.Begin.ANY and part.layer < self._last_layer:
            return False
        kind, unit_bytes = self._unit[key]
        data = part.payload.inline
        rows = set(range(part.begin, part.end)) if part.end - part.begin <= len(data) else set()
        if (part.range != kind or not rows or not rows <= self._missing[key] or len(data) > MAX_PART_BYTES
                or len(data) != len(rows) * unit_bytes or part.payload.checksum != xxhash.xxh3_64_intdigest(data)):
            return False
        self._missing[key] -= rows
        self._last_layer = part.layer
        return True
