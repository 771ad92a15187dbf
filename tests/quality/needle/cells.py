"""What one column of the laboratory asks of the service."""

from dataclasses import dataclass, fields

import chunkkv

from needle.reuse_groups import groups_text

WINDOW_LENGTH = 8
OWN_SENTENCES = "sentences"


@dataclass(frozen=True)
class TextChunks:
    """Sentences as `chunkkv.chunking` finds them in the decoded text; None: its defaults."""
    shortest: int | None = None
    longest: int | None = None

    def __str__(self):
        bounds = [f"{name} {value}" for name, value in vars(self).items() if value is not None]
        return "text" + "".join(f" {bound}" for bound in bounds)


@dataclass(frozen=True)
class Cell:
    """A policy and its parameters. chunks: the length of a grid, OWN_SENTENCES (as the prompt was made) or TextChunks,
    for chunk_kv alone. chunk_reduce None is sum, whatever the service's default; other None take the default."""
    policy: str
    keep_ratio: float = 1.0
    chunks: int | str | TextChunks | None = None
    window_length: int = WINDOW_LENGTH
    chunk_reduce: str | None = None
    pool: int | None = None
    reuse_group: int | None = None
    group_score: str | None = None
    groups: tuple[chunkkv.ReuseGroup, ...] | None = None

    @property
    def name(self):
        """The cell in words, unlike that of any other."""
        return ", ".join(_word(field.name, getattr(self, field.name)) for field in fields(self)
                         if getattr(self, field.name) != field.default)

    def specification(self, prompt, text_starts):
        """The CompactionSpec for `prompt`. text_starts: TextChunks -> chunk starts int32 of this prompt."""
        if self.policy == "full":
            return chunkkv.CompactionSpec(policy="full")
        starts = None
        if self.chunks == OWN_SENTENCES:
            starts = prompt.chunk_starts
        elif isinstance(self.chunks, TextChunks):
            starts = text_starts(self.chunks)
        return chunkkv.CompactionSpec(
            policy=self.policy, keep_ratio=self.keep_ratio, window_length=self.window_length, chunk_starts=starts,
            chunk_length=self.chunks if isinstance(self.chunks, int) else None,
            chunk_reduce=self.chunk_reduce or ("sum" if self.policy == "chunk_kv" else None), pool=self.pool,
            reuse_group=self.reuse_group, group_score=self.group_score, groups=self.groups)


def _word(name, value):
    if name == "policy":
        return value
    if name == "keep_ratio":
        return f"keep {value:.0%}"
    if name == "chunks":
        return f"grid of {value}" if isinstance(value, int) else str(value)
    if name == "groups":
        return f"groups {groups_text(value)}"
    return f"{name} {value}"


def sentences(keep_ratio, **more):
    return Cell("chunk_kv", keep_ratio, OWN_SENTENCES, **more)


def grid(keep_ratio, length=10, **more):
    return Cell("chunk_kv", keep_ratio, length, **more)


FULL = Cell("full")
