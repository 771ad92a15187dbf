from dataclasses import dataclass


@dataclass
class Arguments:
    """What a caller asks for; None is unset. Names are those of `chunkkv compact`."""

    policy: str
    keep_ratio: float | None = None
    max_tokens: int | None = None
    chunk_length: int = 10
    window_length: int = 32
    reuse_group: int = 1
    leaders: list[int] | None = None  # one layer per group; unset: each group's first
    group_score: str = "leader"
    chunk_reduce: str | None = None  # unset: sum; max where chunks are given
    pool: int | None = None
    sink_tokens: int | None = None
    recent_ratio: float = 0.5
    budget_multiple: int = 1
    min_retained_mass: float | None = None
    on_low_mass: str = "fail"
    max_raised_tokens: int | None = None

    def __post_init__(self):
        if self.pool is None:
            self.pool = 5 if self.policy == "snap_kv" else 1
        if self.sink_tokens is None:
            self.sink_tokens = 4 if self.policy == "streaming_llm" else 0

    @property
    def uses_scores(self) -> bool:
        return self.policy in ("chunk_kv", "snap_kv", "h2o")

    @property
    def always_kept(self) -> int:
        return self.window_length + self.sink_tokens
