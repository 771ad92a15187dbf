"""Where the chunks of a prompt begin, found beside the scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import Any

from ..chunking import chunk_starts


class Chunks:
    """Of an engine's model; its tokenizer is read at the first call."""

    def __init__(self, model_config: Any):
        self._model_config = model_config
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="chunkkv-chunks")

    def start(self, tokens: Sequence[int], by: str, sink_tokens: int) -> Future[tuple[int, ...]]:
        """Fails with what the tokenizer fails with."""
        return self._threads.submit(self._starts, list(tokens), by, sink_tokens)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _starts(self, tokens: list[int], by: str, sink_tokens: int) -> tuple[int, ...]:
        return tuple(chunk_starts(tokens, self._tokenizer, by, sink_tokens=sink_tokens).tolist())

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        config = self._model_config
        return AutoTokenizer.from_pretrained(config.tokenizer or config.model, revision=config.tokenizer_revision,
                                             trust_remote_code=config.trust_remote_code)
