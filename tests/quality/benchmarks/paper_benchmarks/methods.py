"""What is compared: policies of the service under one budget."""

from dataclasses import dataclass

POLICIES = ("full", "chunk_kv", "snap_kv", "h2o", "streaming_llm")
GRID = "grid"


@dataclass(frozen=True)
class Method:
    """A policy; chunks: `grid`, or the kind of spans that chunkkv.chunking finds (chunk_kv only)."""
    policy: str
    chunks: str = GRID

    @property
    def name(self):
        return self.policy if self.chunks == GRID else f"{self.policy}/{self.chunks}"


@dataclass(frozen=True)
class Budget:
    """What every method but `full` may keep, and how it chooses; None takes the service's default."""
    keep_ratio: float | None
    max_tokens: int | None
    window_length: int
    chunk_length: int
    reuse_group: int
    pool: int | None = None


def methods_of(policies, chunks):
    """The methods of the policies, chunk_kv once for each kind of chunks; what is named again is not run again."""
    return list(dict.fromkeys(Method(policy, kind) for policy in policies
                              for kind in (chunks if policy == "chunk_kv" else (GRID,))))


def spec_arguments(method, budget, chunk_starts=None):
    """Keyword arguments of chunkkv.CompactionSpec."""
    if method.policy == "full":
        return {"policy": "full"}
    arguments = {"policy": method.policy, "keep_ratio": budget.keep_ratio, "max_tokens": budget.max_tokens,
                 "window_length": budget.window_length, "reuse_group": budget.reuse_group}
    if method.policy == "chunk_kv":
        arguments |= {"chunk_starts": chunk_starts} if method.chunks != GRID else {"chunk_length": budget.chunk_length}
    if method.policy == "snap_kv":
        arguments["pool"] = budget.pool
    return arguments
