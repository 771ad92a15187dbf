"""What a put that goes wrong holds comes back, and what the service may still read stays."""
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import chunkkv
import pytest
import torch
from chunkkv.identity import PromptKey
from chunkkv.vllm.counts import Counts
from chunkkv.vllm.model import EngineModel
from chunkkv.vllm.options import Options
from chunkkv.vllm.plan import Save
from chunkkv.vllm.row_memory import Place, RowCopy
from chunkkv.vllm.saver import Rows, Saver
from local_server import eventually

IDENTITY = chunkkv.ModelIdentity("saves", "1", "f32", 1, 1, 8, 8)
MODEL = EngineModel(IDENTITY, (chunkkv.Shard().resolved(IDENTITY),), 0, ("only",), 4, torch.float32)
NOT_QUIET = chunkkv.errors.Unavailable("NOT_QUIET", "planted")


class Service:
    """A client, and a put session inside its context. stored: how many rows an entry of the put's name has; 0: none.
    may_commit: lets commits return."""

    def __init__(self):
        self.sent, self.may_commit, self.cancelling = [], threading.Event(), None
        self.stored, self.is_entered = 0, False

    @property
    def already_stored(self):
        return self.stored > 0

    @contextmanager
    def open_put(self, **_):
        self.is_entered = True
        yield self
        self.cancel()

    def describe_many(self, selectors, timeout):
        return [SimpleNamespace(entry_id=b"entry", original_length=self.stored)]

    def delete_many(self, selectors, timeout):
        assert [selector.if_entry_id for selector in selectors] == [b"entry"]
        self.stored = 0
        return [None]

    def send_tokens(self, index, first_token, layer):
        assert self.is_entered
        self.sent.append(first_token)

    def commit(self):
        self.may_commit.wait(10)
        return SimpleNamespace(already_stored=False, stored_bytes=1)

    def cancel(self):
        if self.cancelling is not None:
            raise self.cancelling


class Memory:
    """Counts the places that are taken, and notes failures."""

    def __init__(self):
        self.taken, self.failures = 0, []

    def share(self):
        pass

    def note(self, failure, region):
        self.failures.append((failure, region))

    def rows(self, first_token, keys_lent, values_lent):
        return Rows(0, first_token, *(self._copy(is_lent) for is_lent in (keys_lent, values_lent)))

    def _copy(self, is_lent):
        self.taken += 1
        return RowCopy(torch.zeros(4, 1, 8), Place(torch.empty(4, 1, 8), "region" if is_lent else None, self._release))

    def _release(self):
        self.taken -= 1


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def saver(service, memory):
    counts = Counts()
    saver = Saver(service, MODEL, Options(threads=1), counts, memory, list)
    saver.counts = counts
    saver.begin(Save("request", "", 0, 8, PromptKey(bytes(32)), chunkkv.CompactionSpec("full"), 8))
    yield saver
    service.may_commit.set()
    saver.close()


@pytest.mark.parametrize("keys_lent,values_lent", [(False, True), (True, False), (True, True)])
def test_what_is_read_in_place_is_held_until_the_put_is_over(saver, service, memory, keys_lent, values_lent):
    saver.add("request", memory.rows(0, keys_lent, values_lent))
    saver.add("request", memory.rows(4, False, False))
    eventually(lambda: service.sent == [0, 4])
    assert memory.taken == 4  # the last are held by their thread, which commits
    service.may_commit.set()
    eventually(lambda: memory.taken == 0)
    assert saver.counts.take()["saved_tokens"] == 8


def test_what_was_sent_is_given_back_at_once(saver, service, memory):
    saver.add("request", memory.rows(0, False, False))
    eventually(lambda: memory.taken == 0)
    assert service.sent == [0] and saver.is_saving("request")


def test_a_cancel_that_fails_gives_back_what_the_put_holds(saver, service, memory):
    service.cancelling = NOT_QUIET
    saver.add("request", memory.rows(0, True, True))
    eventually(lambda: service.sent == [0])
    saver.end("request", "REQUEST_ENDED")
    eventually(lambda: memory.taken == 0)
    assert (NOT_QUIET, "region") in memory.failures and not saver.is_saving("request")


def test_what_is_stored_whole_is_not_sent(saver, service, memory):
    service.stored = 8
    saver.add("request", memory.rows(0, False, False))
    eventually(lambda: memory.taken == 0)
    assert not service.sent and saver.counts.take() == {"saves_already_stored": 1}


def test_what_has_lost_its_beginning_is_replaced(saver, service, memory):
    service.stored = 4
    saver.add("request", memory.rows(0, False, False))
    saver.add("request", memory.rows(4, False, False))
    service.may_commit.set()
    eventually(lambda: memory.taken == 0)
    assert service.sent == [0, 4] and saver.counts.take()["saved_tokens"] == 8


def test_what_goes_while_it_is_looked_at_is_stored_again(saver, service, memory):
    def describe_many(selectors, timeout):
        service.stored = 0
        return [chunkkv.NotFound("ENTRY_NOT_FOUND", "planted")]

    service.stored, service.describe_many = 4, describe_many
    saver.add("request", memory.rows(0, False, False))
    eventually(lambda: service.sent == [0])


def test_the_end_waits_for_no_rows_that_do_not_come(saver, service, memory):
    saver.add("request", memory.rows(0, False, False))
    saver.wait_until_idle(0.0)
    assert not saver.is_saving("request") and saver.counts.take()["failures:save:SHUTDOWN"] == 1
