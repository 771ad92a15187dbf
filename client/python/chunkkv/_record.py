"""Recorded token scores: how they are asked for, and how they are put together from messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._arrays import Array
from .errors import DataLoss
from .identity import Shard
from .operations import Model, model_ref
from .spec import CompactionSpec
from .v1 import scores_pb2


@dataclass(frozen=True)
class RecordCall:
    request: scores_pb2.RecordScoresRequest
    timeout: float | None


def record_call(*, model: Model, puts: int, shard: Shard = Shard(), timeout: float | None = None) -> RecordCall:
    """puts: how many, in [1, 65536]. shard: whose puts; the default is the whole model.

    Only puts whose every attention layer is scored are recorded: no index reuse, or groups that choose together.

    Errors: InvalidArgument (BAD_PUT_COUNT; MODEL_MISSING: a fingerprint that the server does not know).
    """
    request = scores_pb2.RecordScoresRequest(**model_ref(model), shard=shard.to_wire(), put_count=puts)
    return RecordCall(request, timeout)


@dataclass(frozen=True, eq=False)
class RecordedPut:
    """What a put's choices were made from. spec: as requested. layers: those of the shard that attend. token_scores:
    float32 [layers, P], unpooled, over the tokens before the window."""

    spec: CompactionSpec
    token_count: int
    layers: tuple[int, ...]
    token_scores: Array


@dataclass(frozen=True)
class SkippedPuts:
    """Puts left out: unscored where some layer was not scored, no_room where the listener is behind or the server's
    host tier is full, already_stored where nothing was sent."""

    unscored: int = 0
    no_room: int = 0
    already_stored: int = 0


class RecordReader:
    """Puts messages of RecordScores together."""

    def __init__(self) -> None:
        self.is_recording = False
        self.skipped = SkippedPuts()
        self._put: Any = None
        self._pieces: list[bytes] = []
        self._received = 0

    def feed(self, message: Any) -> RecordedPut | None:
        """The put that `message` completes, if it does. Errors: DataLoss (MALFORMED_REPLY)."""
        kind = message.WhichOneof("message")
        if kind == "recording":
            self.is_recording = True
        elif kind == "skipped":
            self.skipped = SkippedPuts(message.skipped.unscored, message.skipped.no_room,
                                       message.skipped.already_stored)
        elif kind == "put":
            self._put, self._pieces, self._received = message.put, [], 0
        elif kind == "layer":
            return self._take(message.layer)
        return None

    def finish(self) -> None:
        """The stream has ended. Errors: DataLoss (MALFORMED_REPLY) where it was not over."""
        if not self.is_recording or self._put is not None:
            raise DataLoss("MALFORMED_REPLY", "the recording ended before it was over")

    def _take(self, layer: Any) -> RecordedPut | None:
        put = self._put
        if (put is None or layer.layer * put.score_count + layer.begin != self._received
                or len(layer.token_scores) % 4):
            raise DataLoss("MALFORMED_REPLY", f"scores of layer {layer.layer} from token {layer.begin} are out of turn")
        self._pieces.append(layer.token_scores)
        self._received += len(layer.token_scores) // 4
        if self._received < put.layer_count * put.score_count:
            return None
        scores = np.frombuffer(b"".join(self._pieces), "<f4")
        if scores.size != put.layer_count * put.score_count:
            raise DataLoss("MALFORMED_REPLY", "more scores than were announced")
        self._put, self._pieces = None, []
        return RecordedPut(CompactionSpec.from_wire(put.spec), put.token_count, tuple(put.layers),
                           scores.reshape(put.layer_count, put.score_count))
