"""One question of a benchmark, and what a benchmark is."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .optional import Library


@dataclass(frozen=True)
class Example:
    """name: unique within a run; resuming goes by it. group: the row of the summary's breakdown. as_chat: the prompt is
    a user's turn, put into the model's chat template where it has one. min_new_tokens: 1 where the response may not be
    empty. stop_text: a response that reaches it is over. reference: what scoring needs beside the response."""

    name: str
    group: str
    prompt: str
    max_new_tokens: int
    as_chat: bool = False
    stop_at_newline: bool = False
    min_new_tokens: int = 0
    stop_text: str = ""
    reference: dict[str, Any] = field(default_factory=dict)


class Codec(Protocol):
    """A model's tokenizer as benchmarks use it."""

    def encode(self, text: str, special_tokens: bool = False) -> list[int]:
        """The text's ids, with those that begin a prompt if `special_tokens`."""

    def decode(self, ids: list[int]) -> str:
        """The text of ids, without special tokens."""


class Benchmark(Protocol):
    """A published benchmark over a folder of its published files."""

    name: str
    title: str
    headline: str  # the metric, of those that score() returns, that the paper's figures are set beside
    libraries: tuple[Library, ...]  # what scoring needs beside the client's own
    mean_over_groups: bool  # the overall figure is the mean of the groups' means, else that of all examples

    def files(self, data: Path) -> list[Path]:
        """The files that a run reads. Errors: DataError where one is missing."""

    def notes(self, data: Path) -> list[str]:
        """What a reader of the figures must know of this data."""

    def examples(self, data: Path, codec: Codec, context_window: int) -> Iterator[Example]:
        """The examples, always in the same order. context_window: the model's, in tokens. Errors: DataError."""

    def score(self, response: str, example: Example) -> dict[str, float]:
        """Metric name to score, in 0 to 100."""
