"""What the laboratory measures: one factor at a time around the defaults."""

from dataclasses import dataclass

from needle.cells import FULL, WINDOW_LENGTH, Cell, TextChunks, grid, sentences
from needle.reuse_groups import groups_text, parse_groups

KEEP_RATIOS = (0.05, 0.1, 0.2, 0.3, 0.5)
CLAIMED_RATIOS = (0.1, 0.2)
HEAT_RATIO = 0.2
CHUNK_LENGTHS = (3, 5, 10, 15, 20, 30, 40, 60)
WINDOWS = (4, 8, 16, 32, 64)
REDUCES = ("sum", "mean", "max")
POOLS = (1, 5, 7)
POLICIES = {
    "ChunkKV, sentences": sentences,
    "ChunkKV, grid of 10": grid,
    "SnapKV": lambda keep: Cell("snap_kv", keep),
    "H2O": lambda keep: Cell("h2o", keep),
    "StreamingLLM": lambda keep: Cell("streaming_llm", keep),
}
SENTENCES, GRID, SNAP_KV, H2O, STREAMING_LLM = POLICIES
SENTENCES_MAX = "ChunkKV, sentences, MAX"
FULL_CACHE = "full cache"


def sentences_by_max(keep, **more):
    """The service's defaults for given chunks."""
    return sentences(keep, chunk_reduce="max", **more)


@dataclass(frozen=True)
class Point:
    """A cell's place in a sweep, and the cell that it is compared with on the same prompts. panel: of the plot."""
    series: str
    x: str
    cell: object
    against: object = None
    panel: str = ""


@dataclass(frozen=True)
class Sweep:
    """One factor. axis: what x is; note: a sentence for the reader."""
    name: str
    title: str
    axis: str
    points: tuple[Point, ...]
    note: str = ""

    @property
    def cells(self):
        return list(dict.fromkeys(cell for point in self.points for cell in (point.cell, point.against) if cell))


def percent(ratio):
    return f"{ratio:.0%}"


def at(ratio):
    return f"keep {ratio:.0%}"


def keep_ratios():
    points = [Point(series, percent(keep), make(keep), None if series == SENTENCES else sentences(keep))
              for series, make in {SENTENCES_MAX: sentences_by_max, **POLICIES}.items() for keep in KEEP_RATIOS]
    return Sweep("keep", "Policy by keep ratio", "share of tokens kept",
                 (*points, Point(FULL_CACHE, percent(1), FULL)),
                 "Compared with ChunkKV, sentences, whose chunks are scored by the paper's SUM; MAX is the service's "
                 "default where chunks are given.")


def chunk_lengths():
    return Sweep("chunk_length", "Length of a grid's chunks", "tokens a chunk", tuple(
        Point(at(keep), str(length), _reduced(grid, keep, reduce, length=length),
              _reduced(grid, keep, reduce) if length != 10 else None, reduce.upper())
        for reduce, ratios in (("sum", KEEP_RATIOS), ("max", KEEP_RATIOS[:3])) for keep in ratios
        for length in CHUNK_LENGTHS),
        "Compared with a grid of 10.")


CHUNK_KINDS = {SENTENCES: sentences, GRID: grid,
               "ChunkKV, grid of 20": lambda keep, **more: grid(keep, 20, **more)}


def reduces():
    return Sweep("reduce", "A chunk's score: SUM, MEAN or MAX of its token scores", "share of tokens kept", tuple(
        _reduce_point(kind, make, keep, reduce)
        for kind, make in CHUNK_KINDS.items() for reduce in REDUCES for keep in KEEP_RATIOS), "Compared with SUM.")


def _reduce_point(kind, make, keep, reduce):
    return Point(reduce.upper(), percent(keep), _reduced(make, keep, reduce), make(keep) if reduce != "sum" else None,
                 kind)


def _reduced(make, keep, reduce, **more):
    """A cell without a chunk_reduce is SUM."""
    return make(keep, **more) if reduce == "sum" else make(keep, chunk_reduce=reduce, **more)


def confirmation():
    """MAX against SUM once more, for prompts that MAX was not chosen on."""
    return Sweep("confirmation", "MAX against SUM on other prompts", "share of tokens kept", tuple(
        _reduce_point(kind, make, keep, reduce)
        for kind, make in CHUNK_KINDS.items() for reduce in ("sum", "max") for keep in KEEP_RATIOS[:3]),
        "Compared with SUM.")


def windows():
    makers = {SENTENCES: sentences, GRID: grid, SNAP_KV: lambda keep, **more: Cell("snap_kv", keep, **more)}
    return Sweep("window", "Observation window", "window_length", tuple(
        Point(series, str(window), make(keep, window_length=window), make(keep) if window != 8 else None, at(keep))
        for series, make in makers.items() for keep in CLAIMED_RATIOS for window in WINDOWS),
        "Compared with a window of 8. The question's last 6 tokens are the prompt's end.")


def pools():
    return Sweep("pool", "Smoothing of SnapKV", "pool", tuple(
        Point(at(keep), str(pool), _pooled(keep, pool), _pooled(keep, 5) if pool != 5 else None)
        for keep in CLAIMED_RATIOS for pool in POOLS), "Compared with a pool of 5, the default.")


def _pooled(keep, pool):
    return Cell("snap_kv", keep, pool=None if pool == 5 else pool)


def reuse():
    makers = {SENTENCES: sentences, GRID: grid}
    choices = {"1": {}, **{f"{size} {score.upper()}": {"reuse_group": size, "group_score": score}
                           for size in (2, 3) for score in ("leader", "sum")}}
    return Sweep("reuse", "Index reuse by equal groups", "layers a group", tuple(
        Point(series, x, make(keep, **choice), make(keep) if choice else None, at(keep))
        for series, make in makers.items() for keep in CLAIMED_RATIOS for x, choice in choices.items()),
        "Compared with no reuse. The model has 3 layers.")


PARTITIONS = tuple(map(parse_groups, (
    "0-1:0,2-2", "0-1:1,2-2", "0-1:+,2-2", "0-0,1-2:1", "0-0,1-2:2", "0-0,1-2:+", "0-2:0", "0-2:1", "0-2:2", "0-2:+")))


def leaders():
    return Sweep("leaders", "Index reuse by groups and leaders", "groups", tuple(
        Point(at(keep), groups_text(groups), sentences(keep, groups=groups), sentences(keep))
        for keep in CLAIMED_RATIOS for groups in PARTITIONS),
        "Chunks are sentences; compared with no reuse. `0-1:1,2-2:2`: layers 0 and 1 share what layer 1 chooses, "
        "layer 2 chooses for itself; `+`: all choose together.")


def profile(groups):
    """Groups of a measured reuse profile, with the choice of tokens that it was measured for, and with others."""
    makers = {SENTENCES_MAX: sentences_by_max, SENTENCES: sentences, GRID: grid}
    return Sweep("profile", "Reuse profile", "groups", tuple(
        Point(series, x, make(keep, **choice), make(keep) if choice else None, at(keep))
        for series, make in makers.items() for keep in CLAIMED_RATIOS
        for x, choice in (("no reuse", {}), (groups_text(groups), {"groups": groups}))), "Compared with no reuse.")


TEXT_CHUNKS = (TextChunks(), *(TextChunks(longest=longest) for longest in (8, 12, 16)),
               *(TextChunks(shortest=shortest) for shortest in (12, 24, 48)))


def text_chunks():
    return Sweep("text", "Sentences found in the text by chunkkv.chunking", "chunks", tuple(
        Point(at(keep), str(chunks).removeprefix("text ").replace("text", "defaults"), Cell("chunk_kv", keep, chunks),
              sentences(keep))
        for keep in CLAIMED_RATIOS for chunks in TEXT_CHUNKS),
        "Compared with the sentences as the prompt was made.")


def heat_cells():
    return {FULL_CACHE: FULL, **{series: make(HEAT_RATIO) for series, make in POLICIES.items()}}


def standard():
    """The sweeps that need nothing but the service, in the order of the report."""
    return (keep_ratios(), reduces(), chunk_lengths(), windows(), pools(), reuse(), leaders())


def kvpress():
    """kvpress's presses, each compared with the policy of the same idea. Needs kvpress."""
    from needle.kvpress_side import PressCell

    def press(name, keep, **more):
        return PressCell(name, keep, WINDOW_LENGTH, **more)

    pairs = {
        "ChunkKV, grid of 10": (lambda keep: press("ChunkKVPress", keep, kernel_size=1, chunk_length=10), grid),
        "ChunkKV, grid of 20, pool 5": (lambda keep: press("ChunkKVPress", keep, kernel_size=5, chunk_length=20),
                                        lambda keep: grid(keep, 20, pool=5)),
        "SnapKV, pool 5": (lambda keep: press("SnapKVPress", keep, kernel_size=5), POLICIES[SNAP_KV]),
        "SnapKV, pool 1": (lambda keep: press("SnapKVPress", keep, kernel_size=1), lambda keep: _pooled(keep, 1)),
        "StreamingLLM": (lambda keep: press("StreamingLLMPress", keep), POLICIES[STREAMING_LLM]),
        "H2O": (lambda keep: press("ObservedAttentionPress", keep), POLICIES[H2O]),
    }
    points = []
    for keep in CLAIMED_RATIOS:
        for x, (theirs, ours) in pairs.items():
            points.append(Point("this service", x, ours(keep), panel=at(keep)))
            points.append(Point("kvpress", x, theirs(keep), ours(keep), at(keep)))
    return Sweep("kvpress", "Side by side with kvpress", "policy", tuple(points),
                 "kvpress compared with the service. kvpress keeps whole chunks (94 and 194, or 84 and 184 tokens, of "
                 "102 and 205). Its SnapKV and ObservedAttention, here beside H2O, choose for each KV head; "
                 "H2O keeps recent tokens too, ObservedAttention does not.")
