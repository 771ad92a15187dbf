"""What the scheduler's side decides, without an engine."""
from concurrent.futures import Future
from types import SimpleNamespace

import chunkkv
import pytest
import torch
from chunkkv.vllm.model import EngineModel
from chunkkv.vllm.options import Options
from chunkkv.vllm.plan import Segment
from chunkkv.vllm.scheduler import SchedulerSide

BLOCK = 4
IDENTITY = chunkkv.ModelIdentity("plans", "1", "f32", 1, 1, 8, 8)
MODEL = EngineModel(IDENTITY, (chunkkv.Shard().resolved(IDENTITY),), 0, ("only",), BLOCK, torch.float32)
CONFIG = SimpleNamespace(
    kv_transfer_config=SimpleNamespace(is_kv_consumer=True, is_kv_producer=True),
    model_config=SimpleNamespace(hf_text_config=SimpleNamespace(rope_parameters={"rope_type": "default"})))
COMPACT = {"role": "producer", "keep_ratio": 0.5, "window_length": 1}


class Request(SimpleNamespace):
    def __init__(self, request_id="request", length=9, salt=None, **transfer):
        super().__init__(
            request_id=request_id, num_prompt_tokens=length, num_tokens=length, prompt_token_ids=list(range(length)),
            block_hashes=[bytes([index]) * 32 for index in range(length // BLOCK)], cache_salt=salt, mm_features=[],
            kv_transfer_params={"chunkkv": transfer} if transfer else None, pooling_params=None, lora_request=None,
            skip_reading_prefix_cache=False, num_preemptions=0)


def step(computed=0, **scheduled):
    """A step that computes so many tokens of each request, as of its first one."""
    return SimpleNamespace(
        total_num_scheduled_tokens=sum(scheduled.values()), num_scheduled_tokens=scheduled,
        kv_connector_block_state=SimpleNamespace(get_block_ids=lambda request_id: (list(range(10)),)),
        scheduled_new_reqs=[SimpleNamespace(req_id=name, num_computed_tokens=computed) for name in scheduled],
        scheduled_cached_reqs=SimpleNamespace(req_ids=[], num_computed_tokens=[]))


@pytest.fixture
def side(monkeypatch):
    """Finds `side.stored` blocks of every prompt."""
    side = SchedulerSide(CONFIG, MODEL, Options(address="127.0.0.1:1"))
    side.stored, side.asked = 0, []

    def start(digests, block):
        side.asked.append(digests)
        found = Future()
        end = side.stored * BLOCK
        found.set_result((Segment((digests[side.stored - 1],), (b"entry",), b"", 0, 0, end),) if end else ())
        return found

    monkeypatch.setattr(side._lookups, "start", start)
    yield side
    side.close()


def key_of(side, request):
    side.on_new_request(request)
    return side._followed[request.request_id].save.key.key


def test_a_reset_ends_what_is_saved(side):
    side.on_new_request(Request())
    assert side.matched_tokens(Request(), 0) == 0
    plan = side.plan(step(request=6))
    assert [save.end for save in plan.saves] == [8] and [rows.end for rows in plan.rows] == [6]
    side.forget()
    plan = side.plan(step(6, request=3))
    assert plan.ended == ["request"] and not plan.rows and not plan.saves
    assert side.finished(Request()) is None


def test_a_reset_abandons_what_is_loaded_and_what_was_found(side):
    side.stored = 2
    request = Request()
    side.on_new_request(request)
    side.on_new_request(Request("waiting"))
    assert side.matched_tokens(request, 0) == 8
    side.allocated(request, [3, 5], 0, 8)
    side.forget()
    plan = side.plan(step())
    assert [load.request_id for load in plan.loads] == plan.abandoned == ["request"]
    assert side.matched_tokens(Request("waiting"), 0) == 0
    side.on_new_request(Request("after"))
    assert len(side.asked) == 3 and not set(side.asked[0]) & set(side.asked[2])


@pytest.mark.parametrize("transfer", [{"role": "producer"}, COMPACT], ids=["whole", "compacted"])
def test_a_reset_is_told_to_who_hands_over(side, transfer):
    request = Request(**transfer)
    side.on_new_request(request)
    side.forget()
    assert side.finished(request) == {"chunkkv": {"error": "the cache was reset"}}


def test_compacted_entries_are_named_by_all_that_they_depend_on(side):
    """Also those of prompts shorter than a block."""
    requests = [
        Request("a", 3, **COMPACT), Request("b", 3, salt="of a tenant", **COMPACT), Request("c", 4, **COMPACT),
        Request("d", 3, **COMPACT, chunks="sentences"), Request("e", 3, **COMPACT, chunk_starts=[0, 2])]
    image = Request("f", 3, **COMPACT)
    image.mm_features = [SimpleNamespace(identifier="an image")]
    side._chunks.start = lambda *_: Future()  # never cut
    names = [key_of(side, request) for request in (*requests, image)]
    assert key_of(side, Request("again", 3, **COMPACT)) == names[0]
    side.forget()
    assert len({*names, key_of(side, Request("after", 3, **COMPACT))}) == 7
