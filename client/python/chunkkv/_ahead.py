"""Responses of a put or get that uses a channel, read as they come, whether or not anybody waits for them."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from . import errors
from ._channel_transfers import ChannelTransfer

Watch = Callable[[Callable[[], None]], Callable[[], None]]


class Ahead:
    """An iterator over a call's responses; those that its transfer takes are not among them."""

    def __init__(self, call: Any, transfer: ChannelTransfer, watch: Watch):
        self._call, self._transfer = call, transfer
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._forget = watch(call.cancel)
        threading.Thread(target=self._run, name="chunkkv-ahead", daemon=True).start()

    def __next__(self) -> bytes:
        item = self._items.get()
        if isinstance(item, BaseException):
            self._items.put(item)
            raise item
        return bytes(item)

    def cancel(self) -> None:
        self._call.cancel()

    def _run(self) -> None:
        end: BaseException | None
        try:
            for raw in self._call:
                if not self._transfer.take(raw):
                    self._items.put(raw)
            end = self._transfer.finish()
        except grpc.RpcError as error:
            end = self._transfer.end(
                errors.from_call(error.code(), error.details(), error.trailing_metadata()))  # type: ignore[attr-defined]
        except errors.Error as error:
            self._call.cancel()
            end = self._transfer.end(error)
        self._forget()
        self._items.put(end or StopIteration())


class AsyncAhead:
    """As Ahead, with the receive of a call; of one event loop."""

    def __init__(self, call: Any, receive: Callable[[], Awaitable[Any]], transfer: ChannelTransfer, watch: Watch):
        self._call, self._receive, self._transfer = call, receive, transfer
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._forget = watch(lambda: loop.call_soon_threadsafe(call.cancel))
        self._task = asyncio.ensure_future(self._run())

    async def receive(self) -> Any:
        """The next response, None at the end."""
        item = await self._items.get()
        if item is None or isinstance(item, BaseException):
            self._items.put_nowait(item)
        if isinstance(item, BaseException):
            raise item
        return item

    async def _run(self) -> None:
        end: BaseException | None
        try:
            while (raw := await self._receive()) is not None:
                if not self._transfer.take(raw):
                    self._items.put_nowait(raw)
            end = self._transfer.finish()
        except errors.Error as error:
            self._call.cancel()
            end = self._transfer.end(error)
        except asyncio.CancelledError as error:
            end = self._transfer.end(errors.Cancelled("CANCELLED", "by the client")) or error
        self._forget()
        self._items.put_nowait(end)
