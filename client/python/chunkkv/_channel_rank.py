"""The client's end of a channel: the thread that issues its messages, in the order of their sequence, on one stream."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from . import errors
from ._nccl import Communicator, Nccl

_POLL_SECONDS = 1e-4
_MOST_MISSING = 64  # of messages told out of order
_stuck: list[Any] = []  # memory that a device did not let go of: kept for ever


@dataclass(frozen=True)
class ChannelTimeouts:
    """In seconds; longer than the server's own, whose reasons are the better ones. transfer: of a message in flight, or
    of one that those behind it wait for. close: for what is in flight and NCCL's orderly end. abort: until the device has
    come to the end of what was aborted."""

    open: float = 35.0
    transfer: float = 8.0
    close: float = 3.0
    abort: float = 5.0


@dataclass
class Message:
    """make: the contiguous tensor to send, or to receive into, called on the channel's stream behind the moment `after`.
    landed: that tensor, once the device is through with it."""

    is_send: bool
    make: Callable[[], Any]
    after: Any = None
    landed: Future[Any] = field(default_factory=Future)
    tensor: Any = None
    mark: Any = None
    deadline: float = 0.0


class ChannelRank:
    """Thread-safe. on_end runs once, in the channel's thread: with what ended it, None where it was closed."""

    def __init__(self, nccl: Nccl, device: Any, unique_id: bytes, timeouts: ChannelTimeouts,
                 on_end: Callable[[errors.Error | None], None]):
        self._nccl, self._device, self._unique_id = nccl, device, unique_id
        self._timeouts, self._on_end = timeouts, on_end
        self._changed = threading.Condition()
        self._told: dict[int, Message] = {}  # not issued yet, by sequence
        self._next = 0
        self._missing_since: float | None = None
        self._flights: deque[Message] = deque()
        self._comm: Communicator | None = None
        self._is_closing, self._close_deadline = False, 0.0
        self.failure: errors.Error | None = None
        self.opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="chunkkv-channel", daemon=True)
        self._thread.start()

    def tell(self, sequence: int, message: Message) -> None:
        """It is the channel's `sequence`th. Errors: the channel's; DataLoss (MALFORMED_REPLY)."""
        with self._changed:
            if self.failure is not None:
                raise self.failure
            if self._is_closing:
                raise errors.Unavailable("CHANNEL_CLOSED", "the channel was closed")
            if sequence in self._told or not self._next <= sequence < self._next + _MOST_MISSING:
                raise errors.DataLoss("MALFORMED_REPLY", f"message {sequence} of a channel that is at {self._next}")
            self._told[sequence] = message
            self._changed.notify_all()

    def fail(self, failure: errors.Error) -> None:
        """Ends the channel and all its messages. The first failure stays."""
        with self._changed:
            if self.failure is None and not self._is_closing:
                self.failure = failure
            self._changed.notify_all()

    def begin_close(self) -> None:
        """What is in flight may end."""
        with self._changed:
            if not self._is_closing:
                self._is_closing, self._close_deadline = True, time.monotonic() + self._timeouts.close
            self._changed.notify_all()

    @property
    def is_closing(self) -> bool:
        return self._is_closing

    def join(self) -> None:
        """Returns when the channel has ended, or will not."""
        self._thread.join(self._timeouts.close + 2 * self._timeouts.abort)

    def _run(self) -> None:
        failure: errors.Error | None = None
        try:
            self._device.make_current()
            self._comm = Communicator(self._nccl, self._unique_id)
            self._wait_until_idle(self._timeouts.open, "CHANNEL_TIMEOUT", "the server's rank has not come")
            self.opened.set_result(None)
            while self._take_step():
                pass
            self._end_orderly()
        except errors.Error as error:
            failure = error
        except Exception as error:  # of torch, or of what made a message
            failure = errors.Unavailable("CHANNEL_FAILED", f"{type(error).__name__}: {error}")
        self._end(failure)

    def _take_step(self) -> bool:
        """Whether anything is to follow."""
        with self._changed:
            if self.failure is None and not self._is_closing and self._next not in self._told:
                self._changed.wait(_POLL_SECONDS if self._flights else self._rest_of_patience())
            self._check_failure()
            due = []
            while self._next in self._told:
                due.append(self._told.pop(self._next))
                self._next += 1
            self._note_missing(bool(due))
            if self._is_closing and not due and not self._flights:
                return False
        for message in due:
            self._flights.append(message)
        for message in due:
            self._issue(message)
        self._land()
        return True

    def _note_missing(self, has_moved: bool) -> None:
        now = time.monotonic()
        if not self._told:
            self._missing_since = None
        elif has_moved or self._missing_since is None:
            self._missing_since = now
        if self._missing_since is not None and now - self._missing_since >= self._timeouts.transfer:
            raise errors.Unavailable("TRANSFER_TIMEOUT", f"message {self._next} was never told")

    def _rest_of_patience(self) -> float | None:
        if self._missing_since is None:
            return None
        return max(0.0, self._missing_since + self._timeouts.transfer - time.monotonic())

    def _issue(self, message: Message) -> None:
        assert self._comm is not None
        with self._device.after(message.after):
            message.tensor = tensor = message.make()
        start = self._comm.send if message.is_send else self._comm.receive
        start(tensor.data_ptr(), tensor.nbytes, self._device.handle)
        self._wait_until_idle(self._timeouts.transfer, "TRANSFER_TIMEOUT", "NCCL does not begin a message")
        message.mark = self._device.set_mark()
        message.deadline = time.monotonic() + self._timeouts.transfer

    def _land(self) -> None:
        """Lets go of what the device is through with."""
        assert self._comm is not None
        while self._flights and self._device.has_passed(self._flights[0].mark):
            message = self._flights.popleft()
            message.landed.set_result(message.tensor)
            if self._flights:  # its time behind another one begins with that one's end
                self._flights[0].deadline = time.monotonic() + self._timeouts.transfer
        if self._flights:
            self._comm.is_idle()  # raises what NCCL has found
            if time.monotonic() >= self._flights[0].deadline:
                raise errors.Unavailable("TRANSFER_TIMEOUT", "a message in flight")
            if self._is_closing and time.monotonic() >= self._close_deadline:
                raise errors.Unavailable("CHANNEL_CLOSED", "a message was in flight when the channel was closed")

    def _wait_until_idle(self, seconds: float, reason: str, what: str) -> None:
        assert self._comm is not None
        deadline = time.monotonic() + seconds
        while not self._comm.is_idle():
            with self._changed:
                self._check_failure()
                self._changed.wait(_POLL_SECONDS)
            if time.monotonic() >= deadline:
                raise errors.Unavailable(reason, what)

    def _check_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _end_orderly(self) -> None:
        assert self._comm is not None
        try:
            self._comm.finalize()
            self._wait_until_idle(self._timeouts.close, "CHANNEL_CLOSED", "NCCL does not end")
        except errors.Error:  # the server was faster: there is nothing left to lose
            return
        self._comm.destroy()
        self._comm = None

    def _end(self, failure: errors.Error | None) -> None:
        with self._changed:
            self.failure = failure or self.failure
            self._is_closing = True
            lost = [*self._flights, *self._told.values()]
            self._told.clear()
        told = self.failure or errors.Unavailable("CHANNEL_CLOSED", "the channel was closed")
        for future in (self.opened, *(message.landed for message in lost)):
            if not future.done():
                future.set_exception(told)
        self._on_end(self.failure)
        if self._comm is not None:
            try:
                self._comm.abort()
            except errors.Error:
                pass  # its memory is waited for below all the same
            self._comm = None
        self._wait_for_device()

    def _wait_for_device(self) -> None:
        """Aborted messages' memory is kept until the device lets go of it."""
        if not self._flights:
            return
        deadline = time.monotonic() + self._timeouts.abort
        try:
            mark = self._device.set_mark()
            while not self._device.has_passed(mark):
                if time.monotonic() >= deadline:
                    _stuck.extend(self._flights)
                    break
                time.sleep(_POLL_SECONDS)
        except Exception:  # a broken device runs nothing any more
            pass
        self._flights.clear()
