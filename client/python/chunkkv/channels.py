"""NCCL channels: K and V go from GPU to GPU."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from . import _channel_device, errors
from ._ahead import Ahead, AsyncAhead
from ._channel_rank import ChannelRank, ChannelTimeouts
from ._channel_transfers import ChannelGet, ChannelPut, ChannelTransfer
from ._nccl import Nccl


class ChannelEnd:
    """This side of a channel that is to be: NCCL and the device, and once it is joined the thread of its messages.
    Errors: Unavailable (NCCL_NOT_FOUND), InvalidArgument (NOT_ON_DEVICE)."""

    def __init__(self, device: Any, library: str | None):
        self.gpu = _channel_device.open_device(device)
        self._nccl = Nccl(library)
        self._lock = threading.Lock()
        self._watchers: set[Callable[[], None]] = set()
        self._has_ended = False
        self.rank: ChannelRank | None = None
        self.channel_id = b""

    def check_version(self, servers: int) -> int:
        """NCCL's, of both. Errors: FailedPrecondition (NCCL_VERSION)."""
        if servers and servers != self._nccl.version:
            raise errors.FailedPrecondition(
                "NCCL_VERSION", f"the server has NCCL {_text(servers)}, this process {_text(self._nccl.version)}")
        return self._nccl.version

    def join(self, channel_id: bytes, unique_id: bytes) -> ChannelRank:
        """Begins to."""
        self.channel_id = channel_id
        self.rank = ChannelRank(self._nccl, self.gpu, unique_id, ChannelTimeouts(), lambda _: self._tell_end())
        return self.rank

    def watch(self, ended: Callable[[], None]) -> Callable[[], None]:
        """Calls `ended`, from any thread, when the channel ends; not once what this returns was called."""
        with self._lock:
            self._watchers.add(ended)
            has_ended = self._has_ended
        if has_ended:
            ended()
        return lambda: self._watchers.discard(ended)

    def fail(self, failure: errors.Error) -> None:
        if self.rank is not None:
            self.rank.fail(failure)

    def lose(self) -> None:
        """The stream that holds the channel has ended."""
        self.fail(errors.Unavailable("PEER_LOST", "the server has let the channel go"))

    def _tell_end(self) -> None:
        with self._lock:
            self._has_ended = True
            watchers = list(self._watchers)
        for ended in watchers:
            with contextlib.suppress(RuntimeError):  # an event loop that was closed
                ended()


class _Base:
    """What both kinds of channel have."""

    _reader: ClassVar[Callable[..., Any]]

    def __init__(self, end: ChannelEnd, rank: ChannelRank):
        self._end, self._rank = end, rank
        self.channel_id = end.channel_id
        self.watch = end.watch

    @property
    def device(self) -> Any:
        """torch's."""
        return self._end.gpu.device

    @property
    def failure(self) -> errors.Error | None:
        """What has ended the channel, where close did not."""
        return self._rank.failure

    def new_put(self) -> ChannelPut:
        """Errors: the channel's failure; Unavailable (CHANNEL_CLOSED)."""
        self._check()
        return ChannelPut(self._rank, self._end.gpu, self.channel_id)

    def new_get(self) -> ChannelGet:
        """As new_put."""
        self._check()
        return ChannelGet(self._rank, self._end.gpu, self.channel_id)

    def ahead(self, transfer: ChannelTransfer) -> Callable[..., Any]:
        """Makes the reader of a call's responses that tells `transfer` of them."""
        return functools.partial(self._reader, transfer=transfer, watch=self.watch)

    def begin_close(self) -> bool:
        """Whether the channel has not ended yet."""
        is_open = self._rank.failure is None and not self._rank.is_closing
        self._rank.begin_close()
        return is_open

    def join(self) -> None:
        """Waits until it has ended."""
        self._rank.join()

    def _check(self) -> None:
        if self._rank.failure is not None:
            raise self._rank.failure
        if self._rank.is_closing:
            raise errors.Unavailable("CHANNEL_CLOSED", "the channel was closed")


class Channel(_Base):
    """Of Client.open_channel: puts and gets that name it send and receive the tensors of its GPU over NCCL. One that has
    failed stays so: open another. Thread-safe; use it in a with statement, or close it. Client.close closes it too."""

    _reader = Ahead

    def __init__(self, end: ChannelEnd, rank: ChannelRank, close: Callable[[Channel], None]):
        super().__init__(end, rank)
        self._close = close

    def close(self) -> None:
        """What is in flight may end. Returns when nothing touches the GPU's memory any more."""
        self._close(self)

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncChannel(_Base):
    """Of AsyncClient.open_channel; as Channel, closed by await or by an async with statement."""

    _reader = AsyncAhead

    def __init__(self, end: ChannelEnd, rank: ChannelRank, close: Callable[[AsyncChannel], Awaitable[None]]):
        super().__init__(end, rank)
        self._close = close

    async def close(self) -> None:
        """As Channel.close."""
        await asyncio.shield(asyncio.ensure_future(self._close(self)))

    async def __aenter__(self) -> AsyncChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _text(version: int) -> str:
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"
