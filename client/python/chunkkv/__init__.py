"""Client of ChunkKV, the service that compacts LLM KV caches and serves them."""

from ._begin import ScoreDeclaration
from ._record import RecordedPut, SkippedPuts
from ._timing import Timing
from .aio import AsyncClient, AsyncLayerStream, AsyncPutSession, AsyncScoreStream, AsyncWatch
from .channels import AsyncChannel, Channel
from .client import Client, LayerStream, PutSession, ScoreStream, Watch
from .errors import (Aborted, AlreadyExists, Cancelled, DataLoss, DeadlineExceeded, Error, FailedPrecondition, Internal,
                     InvalidArgument, NotFound, OutOfRange, PermissionDenied, ResourceExhausted, Unauthenticated,
                     Unavailable, Unimplemented)
from .identity import Adapter, ModelIdentity, PromptKey, Shard, variant_of
from .layers import AttentionRun, Layer, Rope, VerbatimLayer, VerbatimRun, content_digest_of
from .operations import Query, Selector
from .paged import PagedRows
from .regions import AsyncDeviceRegion, AsyncRegion, DeviceRegion, Region
from .results import (Capabilities, ChannelSupport, Compaction, Entry, EntryHeader, EntryInfo, EntryLayer, FoundEntry, Group, Pin,
                      PrefixMatch, PutResult, RegionInfo, ReuseProfile, Sizes, Stats, TrimResult, WatchEvent)
from .routing import RoutedClient, RoutedPutSession
from .routing_aio import AsyncRoutedClient, AsyncRoutedPutSession
from .spec import EXACT, CompactionSpec, ReuseGroup

__version__ = "0.1.0"

__all__ = [
    "Aborted", "Adapter", "AlreadyExists", "AsyncChannel", "AsyncClient", "AsyncDeviceRegion", "AsyncLayerStream", "AsyncPutSession",
    "AsyncRegion", "AsyncRoutedClient", "AsyncRoutedPutSession", "AsyncScoreStream", "AsyncWatch", "AttentionRun", "Cancelled", "Capabilities", "Channel", "ChannelSupport", "Client", "Compaction",
    "CompactionSpec", "DataLoss", "DeadlineExceeded", "DeviceRegion", "EXACT", "Entry", "EntryHeader", "EntryInfo", "EntryLayer",
    "Error", "FailedPrecondition", "FoundEntry", "Group", "Internal", "InvalidArgument", "Layer", "LayerStream",
    "ModelIdentity", "NotFound", "OutOfRange", "PagedRows", "PermissionDenied", "Pin", "PrefixMatch", "PromptKey",
    "PutResult", "PutSession", "Query", "RecordedPut", "Region", "RegionInfo", "ResourceExhausted",
    "ReuseGroup", "ReuseProfile", "Rope", "RoutedClient", "RoutedPutSession", "ScoreDeclaration", "ScoreStream",
    "Selector", "Shard", "Sizes", "SkippedPuts", "Stats", "Timing", "TrimResult", "Unauthenticated", "Unavailable",
    "Unimplemented", "VerbatimLayer", "VerbatimRun", "Watch", "WatchEvent", "content_digest_of", "variant_of",
]
