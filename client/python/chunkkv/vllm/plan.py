"""What the scheduler tells the workers: which rows to load, which to save."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorMetadata

from ..identity import PromptKey
from ..spec import EXACT, CompactionSpec


@dataclass(frozen=True)
class Segment:
    """Tokens [begin, end) of a prompt, of the entry whose first row is token `start`. keys, entry_ids: one a rank."""

    keys: tuple[bytes, ...]
    entry_ids: tuple[bytes, ...]
    lease_id: bytes
    start: int
    begin: int
    end: int

    def cut(self, begin: int, end: int) -> Segment | None:
        """What of it lies in [begin, end)."""
        begin, end = max(begin, self.begin), min(end, self.end)
        return replace(self, begin=begin, end=end) if begin < end else None


@dataclass(frozen=True)
class Awaited:
    """Tokens [begin, end) of an entry that another engine stores now, or has stored. entry_end: one past its last token;
    of a compacted one these are rows. variant: of a compacted one, else EXACT."""

    key: bytes
    variant: bytes
    begin: int
    end: int
    entry_end: int


@dataclass(frozen=True)
class Load:
    """segments: one after the other; awaited: after these. block_ids: of the request, from its first token on."""

    request_id: str
    routing: str
    segments: tuple[Segment, ...]
    block_ids: tuple[int, ...]
    awaited: Awaited | None = None

    @property
    def begin(self) -> int:
        return self.segments[0].begin if self.segments else self.awaited.begin if self.awaited else 0

    @property
    def end(self) -> int:
        return self.awaited.end if self.awaited else self.segments[-1].end if self.segments else 0

    @property
    def is_compacted(self) -> bool:
        """Whether the rows stand in for other tokens than the request's: nothing could compute them."""
        return self.awaited is not None and self.awaited.variant != EXACT


@dataclass(frozen=True)
class Save:
    """Tokens [begin, end) of a request become an entry. queries_from: the first token whose queries go with it; end where
    none do."""

    request_id: str
    routing: str
    begin: int
    end: int
    key: PromptKey
    spec: CompactionSpec
    queries_from: int


@dataclass(frozen=True)
class SavedRows:
    """Tokens [begin, end) of a request that this step computes, and that are saved. block_ids: of its blocks from block
    `first_block` on."""

    request_id: str
    begin: int
    end: int
    first_block: int
    block_ids: tuple[int, ...]


@dataclass
class StepPlan(KVConnectorMetadata):
    """saves: those that begin in this step. ended: requests of which no more rows come. abandoned: requests whose loads,
    these ones too, are of weights that are gone."""

    loads: list[Load] = field(default_factory=list)
    saves: list[Save] = field(default_factory=list)
    rows: list[SavedRows] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
