"""The connector in vLLM's scheduler: decides what is loaded, and what is saved."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from vllm.v1.request import RequestStatus

from ..errors import InvalidArgument
from ..identity import PromptKey
from ..spec import EXACT, CompactionSpec
from .chunks import Chunks
from .connection import connect
from .counts import Counts
from .lookup import Lookups
from .model import Adapters, EngineModel
from .options import Options
from .plan import Awaited, Load, Save, SavedRows, Segment, StepPlan
from .rotation import rope_refusal
from .transfer import Consumer, Producer, answer, entry_key, parse

_PATIENCE_SECONDS = 0.002  # of a step, in the scheduler's way; a lookup on the same host takes less
_YIELD_SECONDS = 0.0005  # a step in which nothing runs: an engine in its caller's process would spin, in the loads' way
_FULL = CompactionSpec(policy="full")


@dataclass
class _Followed:
    """A request. digests: of its prompt's full blocks. name: what goes into them beside the engine's hashes. transfer:
    what it says of its cache. lookups: by first block.
    found: the last lookup's segments. save: what of it is not in the service yet, once that is decided. starts: of its
    chunks, where they follow the text. loaded_at: how often it had been preempted when its load began."""

    digests: tuple[bytes, ...]
    name: bytes = b""
    transfer: Producer | Consumer | None = None
    refusal: str = ""
    lookups: dict[int, Future[tuple[Segment, ...]]] = field(default_factory=dict)
    found: tuple[Segment, ...] = ()
    save: Save | None = None
    is_saving: bool = False
    starts: Future[tuple[int, ...]] | None = None
    loaded_at: int | None = None

    def refuse(self, reason: str) -> None:
        """A prefill computes as if it had not been asked for more; a decode of placeholders fails."""
        self.refusal = self.refusal or reason
        if isinstance(self.transfer, Producer):
            self.transfer = Producer()

    def forget(self) -> None:
        """Nothing that has its names so far is loaded or saved any more."""
        self.digests, self.found, self.save, self.starts, self.is_saving = (), (), None, None, False
        self.lookups.clear()
        if isinstance(self.transfer, Producer) or self.takes_compacted:
            self.refuse("the cache was reset")

    @property
    def stored_end(self) -> int:
        """So many tokens of the prompt are in the service, from the first on, or are on their way there."""
        end = self.found[-1].end if self.found and not self.found[0].begin else 0
        is_on = self.is_saving and self.save is not None and self.save.begin <= end
        return self.save.end if is_on and self.save is not None else end

    @property
    def routing(self) -> str:
        return self.digests[0].hex() if self.digests else ""

    @property
    def is_compacted(self) -> bool:
        transfer = self.transfer
        return isinstance(transfer, Producer) and transfer.spec is not None

    @property
    def takes_compacted(self) -> bool:
        return isinstance(self.transfer, Consumer) and self.transfer.variant != EXACT


class SchedulerSide:
    def __init__(self, config: Any, model: EngineModel, options: Options):
        self._model, self._options = model, options
        # vLLM guards blocks against writes that are still on their way only where the engine may load.
        self._may_load = options.load and config.kv_transfer_config.is_kv_consumer
        self._may_save = options.save and config.kv_transfer_config.is_kv_producer
        self._immovable = rope_refusal(config.model_config)
        self._epoch = b""  # in the names of entries
        self._patience = _PATIENCE_SECONDS
        self._block_size = model.block_size
        self._followed: dict[str, _Followed] = {}
        self._plan = StepPlan()
        self._whole_prefills: list[Any] = []
        self.counts = Counts()
        self._client = connect(options)
        self._lookups = Lookups(self._client, model, options, self.counts, options.hold_seconds if self._may_load else 0.0)
        self._chunks, self._adapters = Chunks(config.model_config), Adapters()

    def on_new_request(self, request: Any) -> None:
        if request.pooling_params is not None:
            return
        adapter = self._adapters.digest(request.lora_request)
        blocks = request.num_prompt_tokens // self._block_size if adapter is not None else 0
        more = self._epoch + (adapter or b"")
        followed = _Followed(tuple(_digest(block_hash, more) for block_hash in request.block_hashes[:blocks]), more)
        try:
            followed.transfer = parse(request.kv_transfer_params, self._block_size)
        except InvalidArgument as error:
            followed.refusal = str(error)
            followed.transfer = _meant(request.kv_transfer_params)
        if followed.is_compacted and self._immovable:
            followed.refuse(self._immovable)
        if followed.is_compacted and not self._may_save:
            followed.refuse("this engine does not save: see save and kv_role")
        if adapter is None and followed.transfer is not None:
            followed.refuse("the adapter's files are not here")
        if request.skip_reading_prefix_cache and (followed.is_compacted or followed.takes_compacted):
            followed.refuse("prompt_logprobs need the whole prompt")
            request.skip_reading_prefix_cache = not followed.takes_compacted  # else it would be scheduled all the same
        self._followed[request.request_id] = followed
        if followed.is_compacted:
            self._prepare_compaction(followed, request)
        elif not followed.takes_compacted and followed.digests and not request.skip_reading_prefix_cache:
            self._look_up(followed, 0)

    def matched_tokens(self, request: Any, computed_tokens: int) -> int | None:
        """How many tokens beyond `computed_tokens` can be loaded; None: not known yet."""
        followed = self._followed.get(request.request_id)
        if followed is None:
            return 0
        if followed.takes_compacted:
            return self._matched_compacted(followed, request, computed_tokens)
        if followed.is_compacted:
            return self._matched_producer(followed, request)
        if not followed.digests or request.skip_reading_prefix_cache or followed.loaded_at == request.num_preemptions:
            return 0  # asked again without a preemption: its load has failed
        found = self._found(followed, 0)
        if found is None:
            return None
        covered = found[-1].end if found else 0
        if covered < computed_tokens:  # the engine has what the service lost: perhaps it goes on from there
            more = self._found(followed, computed_tokens // self._block_size)
            if more is None:
                return None
            covered, found = (more[-1].end, more) if more else (computed_tokens, ())
        followed.found = found
        if isinstance(followed.transfer, Consumer):
            covered = len(followed.digests) * self._block_size  # what is not there yet is waited for
        else:
            self._decide_save(followed, request.request_id, covered)
        # One token at least is computed, for its logits.
        loadable = min(covered, (request.num_tokens - 1) // self._block_size * self._block_size) - computed_tokens
        if not self._may_load or loadable < max(self._options.min_load_tokens, 1):
            return 0
        return loadable

    def allocated(self, request: Any, block_ids: Iterable[int], computed_tokens: int, external_tokens: int) -> None:
        """The engine has blocks for a request, and `external_tokens` of them are to be loaded after the computed ones."""
        followed = self._followed.get(request.request_id)
        if followed is None or not external_tokens:
            return
        followed.lookups.clear()  # a request that comes back after a preemption asks anew
        followed.loaded_at = request.num_preemptions
        begin, end = computed_tokens, computed_tokens + external_tokens
        awaited = None
        segments = tuple(cut for segment in followed.found if (cut := segment.cut(begin, end)) is not None)
        if isinstance(followed.transfer, Consumer):
            awaited = self._awaited(followed, followed.transfer, segments[-1].end if segments else begin, end)
        self._plan.loads.append(Load(request.request_id, followed.routing, segments, tuple(block_ids), awaited))
        self.counts.add("hit_tokens", external_tokens)

    def plan(self, output: Any) -> StepPlan:
        """What the step that is about to run loads and saves."""
        plan, self._plan, self._patience = self._plan, StepPlan(), _PATIENCE_SECONDS
        for request in self._whole_prefills:
            request.skip_reading_prefix_cache = True
        self._whole_prefills.clear()
        if not output.total_num_scheduled_tokens:
            time.sleep(_YIELD_SECONDS)
        blocks = output.kv_connector_block_state
        for request in output.scheduled_new_reqs:
            self._plan_rows(plan, request.req_id, request.num_computed_tokens, output, blocks)
        cached = output.scheduled_cached_reqs
        for request_id, computed in zip(cached.req_ids, cached.num_computed_tokens):
            self._plan_rows(plan, request_id, computed, output, blocks)
        return plan

    def finished(self, request: Any) -> dict[str, Any] | None:
        """What the answer to a request says of its cache."""
        followed = self._followed.pop(request.request_id, None)
        if followed is None:
            return None
        if followed.is_saving:
            self._plan.ended.append(request.request_id)
        if followed.refusal:
            return {"chunkkv": {"error": followed.refusal}}
        if not isinstance(followed.transfer, Producer):
            return None
        if followed.is_compacted:
            if followed.save is None:
                return {"chunkkv": {"error": "a prompt without token ids is not compacted"}}
            return {"chunkkv": answer(followed.save.key.key, followed.transfer, followed.save.end)}
        covered, key = len(followed.digests) * self._block_size, followed.digests[-1] if followed.digests else b""
        if followed.stored_end < covered:
            return {"chunkkv": {"error": "blocks of the prompt are not in the service, and did not pass by"}}
        return {"chunkkv": answer(key, followed.transfer, covered)}

    def forget(self) -> None:
        """Entries get other names from now on: what there is, and what is on its way, may be of other weights."""
        self._epoch = secrets.token_bytes(16)
        for request_id, followed in self._followed.items():
            if followed.is_saving:
                self._plan.ended.append(request_id)
            if followed.loaded_at is not None:
                self._plan.abandoned.append(request_id)
            followed.forget()

    def close(self) -> None:
        self._lookups.close()
        self._chunks.close()
        self._client.close()

    def _look_up(self, followed: _Followed, block: int) -> Future[tuple[Segment, ...]]:
        if block not in followed.lookups:
            followed.lookups[block] = self._lookups.start(followed.digests, block)
        return followed.lookups[block]

    def _found(self, followed: _Followed, block: int) -> tuple[Segment, ...] | None:
        found = self._look_up(followed, block)
        return found.result() if self._is_done(found) else None

    def _is_done(self, future: Future[Any]) -> bool:
        """Whether it is, or is within what is left of the step's patience."""
        if self._patience > 0 and not future.done():
            started = time.monotonic()
            wait([future], timeout=self._patience)
            self._patience -= time.monotonic() - started
        return future.done()

    def _matched_producer(self, followed: _Followed, request: Any) -> int | None:
        """0, once it is known where the chunks begin, and the engine leaves its own cache aside: every row and query of
        the prompt has to pass by. It is told between two steps, for in this one it has looked there already."""
        if not self._is_cut(followed):
            return None
        if request.skip_reading_prefix_cache:
            return 0
        self._whole_prefills.append(request)
        return None

    def _matched_compacted(self, followed: _Followed, request: Any, computed_tokens: int) -> int | None:
        consumer = followed.transfer
        assert isinstance(consumer, Consumer)
        if followed.loaded_at == request.num_preemptions:
            followed.refusal = followed.refusal or "the compacted cache could not be loaded"
        followed.refusal = followed.refusal or consumer.refusal(request)
        followed.refusal = followed.refusal or ("" if self._may_load else "this engine does not load: see load and kv_role")
        if followed.refusal:
            _fail(request, followed.refusal)
            return None
        return max(0, consumer.rows - 1 - computed_tokens)  # the last token is computed, for its logits

    def _awaited(self, followed: _Followed, consumer: Consumer, begin: int, end: int) -> Awaited | None:
        if begin >= end:
            return None
        if consumer.key is not None:
            return Awaited(consumer.key, consumer.variant, begin, end, consumer.rows)
        return Awaited(followed.digests[-1], EXACT, begin, end, len(followed.digests) * self._block_size)

    def _prepare_compaction(self, followed: _Followed, request: Any) -> None:
        producer, end, tokens = followed.transfer, request.num_prompt_tokens, request.prompt_token_ids
        if not isinstance(producer, Producer) or producer.spec is None or tokens is None:
            return
        images = [feature.identifier for feature in request.mm_features or ()]
        key = entry_key(followed.digests, tokens, end, self._block_size,
                        (followed.name, request.cache_salt, images, producer.chunks, producer.spec.chunk_starts))
        followed.save = Save(request.request_id, followed.routing, 0, end, key, producer.spec,
                             max(0, end - producer.window) if producer.window else end)
        if producer.chunks != "grid":
            followed.starts = self._chunks.start(tokens[:end], producer.chunks, producer.spec.sink_tokens or 0)

    def _is_cut(self, followed: _Followed) -> bool:
        """Whether it is known where the prompt's chunks begin."""
        if followed.starts is None or followed.save is None:
            return True
        if not self._is_done(followed.starts):
            return False
        try:
            starts = followed.starts.result()
            followed.save = replace(followed.save, spec=replace(followed.save.spec, chunk_starts=starts))
            assert isinstance(followed.transfer, Producer)
            followed.transfer = replace(followed.transfer, spec=followed.save.spec)
        except Exception as error:  # of the tokenizer
            followed.refusal, followed.save = f"chunks: {error}", None
        followed.starts = None
        return True

    def _decide_save(self, followed: _Followed, request_id: str, covered: int) -> None:
        """What neither the service has nor the engine has kept from before is saved."""
        if followed.is_saving:
            return
        begin, end = covered, len(followed.digests) * self._block_size
        followed.save = None
        if self._may_save and begin < end:
            followed.save = self._lossless(followed, request_id, begin, end)

    def _lossless(self, followed: _Followed, request_id: str, begin: int, end: int) -> Save:
        size = self._block_size
        digests = followed.digests[begin // size:end // size]
        key = PromptKey(digests[-1], digests, size, len(digests) * size)
        return Save(request_id, followed.routing, begin, end, key, _FULL, end)

    def _plan_rows(self, plan: StepPlan, request_id: str, computed: int, output: Any, blocks: Any) -> None:
        followed = self._followed.get(request_id)
        if followed is None or followed.save is None:
            return
        save = followed.save
        begin = max(save.begin, computed)
        end = min(save.end, computed + output.num_scheduled_tokens[request_id])
        if begin >= end:
            return
        if not followed.is_saving:
            if begin > save.begin and not followed.is_compacted:
                # The engine has rows that the service lacks, and that no longer pass by.
                save = self._lossless(followed, request_id, begin // self._block_size * self._block_size, save.end)
                followed.save = save
            followed.is_saving = True
            plan.saves.append(save)
        first = begin // self._block_size
        (ids,) = blocks.get_block_ids(request_id)
        plan.rows.append(SavedRows(request_id, begin, end, first, tuple(ids[first:-(-end // self._block_size)])))


def _digest(block_hash: bytes, more: bytes) -> bytes:
    is_whole = len(block_hash) == 32 and not more
    return bytes(block_hash) if is_whole else hashlib.sha256(bytes(block_hash) + more).digest()


def _meant(params: Any) -> Producer | Consumer | None:
    """The role of a request whose parameters are wrong: placeholders must not be taken for a prompt."""
    given = (params or {}).get("chunkkv")
    if isinstance(given, dict) and given.get("role") == "producer":
        return Producer()
    return Consumer(b"", b"?", 0)


def _fail(request: Any, reason: str) -> None:
    """Has the scheduler end a waiting request with an error. A connector has no way of its own to; this is what becomes
    of a request whose grammar does not compile."""
    request.structured_output_request = SimpleNamespace(grammar=RuntimeError(reason))
    request.status = RequestStatus.WAITING_FOR_STRUCTURED_OUTPUT_GRAMMAR
