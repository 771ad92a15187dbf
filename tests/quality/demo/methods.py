"""The ways of compacting that the demo compares."""

from dataclasses import dataclass

WINDOW_LENGTH = 8
KEEP_RATIOS = (0.1, 0.2)


@dataclass(frozen=True)
class Method:
    """A policy as the demo asks for it: on a grid of 10 tokens, or on the prompt's own sentences; `keep_ratio` is 1 for
    the full cache."""
    label: str
    policy: str
    keep_ratio: float
    sentences: bool = False

    @property
    def title(self):
        return f"{self.label:<20}{self.keep_ratio:>4.0%}"


FULL = Method("full cache", "full", 1.0)
COMPACT = [Method(label, policy, keep_ratio, sentences)
           for keep_ratio in KEEP_RATIOS
           for label, policy, sentences in (
               ("ChunkKV, sentences", "chunk_kv", True), ("ChunkKV, grid of 10", "chunk_kv", False),
               ("SnapKV", "snap_kv", False), ("H2O", "h2o", False), ("StreamingLLM", "streaming_llm", False))]
METHODS = [FULL, *COMPACT]
