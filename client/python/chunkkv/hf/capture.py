"""The post-RoPE queries of a prefill's last tokens, taken where a model hands them to its attention implementation."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_utils import AttentionInterface

from ..errors import InvalidArgument
from .geometry import decoder_of, layer_windows

_active: ContextVar[tuple[QueryWindow, ...]] = ContextVar("chunkkv_query_windows", default=())


@contextmanager
def capture_queries(model: Any, window_length: int) -> Iterator[QueryWindow]:
    """Captures the queries of the last `window_length` tokens of whatever `model` computes inside the with statement.

    The model is not changed, its attention implementation (eager, SDPA, FlashAttention, ...) computes what it always
    does, and nothing is captured from other models or in other threads. The window may straddle the forward calls of a
    chunked prefill. Rows of a padded batch are told apart by the 2D attention_mask given to the model. A forward call
    without past keys, or with another cache, begins anew. Tokens that are cropped from the cache inside the with
    statement (those that speculative decoding rejects) leave the window, which is then that much shorter: capture as
    many more where the whole window is needed. Not through a compiled model, and not of beam search, which reorders the
    cache's rows.

    Errors: Unimplemented (UNSUPPORTED_MODEL).
    """
    window = QueryWindow(model, window_length)
    with ExitStack() as undo:
        _interception.install()
        undo.callback(_interception.remove)
        _active.set((*_active.get(), window))
        undo.callback(window._close)
        hook = decoder_of(model).register_forward_pre_hook(window._begin_forward, with_kwargs=True)
        undo.callback(hook.remove)
        yield window
        window._follow_cache()


@contextmanager
def no_capture() -> Iterator[None]:
    """What is computed inside is not captured."""
    token = _active.set(())
    try:
        yield
    finally:
        _active.reset(token)


@dataclass(frozen=True, eq=False)
class LayerQueries:
    """One layer's queries [batch, H, held, D], padding and cropped tokens included (see QueryWindow.of_row), and how
    its attention makes logits of them: scale, softcap and sink logits [H], None where it has none."""

    queries: torch.Tensor
    scale: float | None
    softcap: float | None
    sink_logits: torch.Tensor | None


class QueryWindow:
    """The queries of the last tokens, of each layer that attends to all tokens. layers: by layer index.

    Queries are of the last `length` tokens of each row (fewer where there are not as many), in the model's dtype and on
    its device.
    """

    def __init__(self, model: Any, length: int):
        if length < 1:
            raise InvalidArgument("BAD_NUMBER", f"window_length is {length}")
        self.length = length
        self.layers: dict[int, LayerQueries] = {}
        full = {layer for layer, window in enumerate(layer_windows(model)) if window is None}
        self._layer_of = {module: module.layer_idx for module in decoder_of(model).modules()
                          if getattr(module, "layer_idx", None) in full}
        self._cache: weakref.ref[Any] | None = None  # of the last forward call, where it was given one
        self._seen = 0  # columns that the cache had after the last forward call
        self._history: torch.Tensor | None = None  # [batch, captured]: which columns were tokens
        self._real: torch.Tensor | None = None  # [batch, held]: which held columns are tokens; None: all
        self._held = 0  # columns held of each layer
        self._order: torch.Tensor | None = None  # [batch, held]: which of the columns held and new to hold now
        self._ends: torch.Tensor | None = None  # [batch]: position after the last token

    @property
    def ends(self) -> list[int]:
        """Of each row, the position after its last token: the number of its tokens, where positions count from 0."""
        return [] if self._ends is None else [int(end) for end in self._ends.tolist()]

    def of_row(self, layer: int, row: int) -> torch.Tensor:
        """[w, H, D]. Errors: KeyError where nothing was captured of the layer."""
        queries = self.layers[layer].queries[row].transpose(0, 1)
        return queries if self._real is None else queries[self._real[row].to(queries.device)]

    def _begin_forward(self, decoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes which columns of the coming forward are tokens, and where they stand."""
        if self not in _active.get():
            return
        inputs: torch.Tensor = next(each for each in (kwargs.get("inputs_embeds"), kwargs.get("input_ids"), *args)
                                    if each is not None)
        batch, new = inputs.shape[:2]
        cache = kwargs.get("cache", kwargs.get("past_key_values"))
        past = 0 if cache is None else int(cache.get_seq_length())
        if not self._goes_on(cache, past):
            self.layers, self._history, self._real, self._held, self._ends = {}, None, None, 0, None
        elif self._ends is not None and len(self._ends) != batch:
            raise InvalidArgument("BATCH_CHANGED", f"a batch of {batch} rows after one of {len(self._ends)}, in one "
                                                   "capture")
        elif past < self._seen:
            self._forget(self._seen - past)
        self._cache, self._seen = None if cache is None else weakref.ref(cache), past + new
        real = _new_tokens(kwargs.get("attention_mask"), batch, new)
        self._note_ends(real, kwargs.get("position_ids"), batch, past, new, inputs.device)
        self._note_order(real, batch, new, inputs.device)

    def _goes_on(self, cache: Any, past: int) -> bool:
        """Whether columns 0 to past are among those of the last forward call."""
        if self._cache is None:  # the model made a cache of its own: a longer or shorter one is not that
            return 0 < past == self._seen
        return 0 < past <= self._seen and cache is self._cache()

    def _forget(self, columns: int) -> None:
        """Marks the last columns as no tokens, as after a crop of the cache."""
        if self._ends is None or self._history is None:
            return
        gone = self._history[:, -columns:].sum(1)
        self._history = self._history[:, :-columns]
        self._ends = self._ends - gone
        real = self._real if self._real is not None else gone.new_ones(len(gone), self._held, dtype=torch.bool)
        self._real = real & (torch.arange(self._held, device=gone.device) < self._held - gone[:, None])

    def _follow_cache(self) -> None:
        """What was cropped after the last forward call is forgotten."""
        cache = None if self._cache is None else self._cache()
        length = self._seen if cache is None else int(cache.get_seq_length())
        if length < self._seen:
            self._forget(self._seen - length)
            self._seen = length

    def _close(self) -> None:
        """Nothing is captured from now on, in no thread's context."""
        self._layer_of = {}
        _active.set(tuple(each for each in _active.get() if each is not self))

    def _note_ends(self, real: torch.Tensor | None, positions: torch.Tensor | None, batch: int, past: int, new: int,
                   device: torch.device) -> None:
        if positions is None or positions.ndim != 2:
            positions = torch.arange(past, past + new, device=device)[None]
        positions = positions.to(device).expand(batch, -1)
        if real is None:
            self._ends = positions[:, -1] + 1
            return
        before = self._ends if self._ends is not None else positions.new_zeros(batch)
        last = new - 1 - real.flip(1).int().argmax(1)
        self._ends = torch.where(real.any(1), positions.gather(1, last[:, None])[:, 0] + 1, before)

    def _note_order(self, real: torch.Tensor | None, batch: int, new: int, device: torch.device) -> None:
        self._order = None
        arrived = torch.ones(batch, new, dtype=torch.bool, device=device) if real is None else real.to(device)
        self._history = arrived if self._history is None else torch.cat([self._history, arrived], 1)
        if real is not None or self._real is not None:
            held = self._real if self._real is not None else torch.ones(batch, self._held, dtype=torch.bool,
                                                                        device=device)
            columns = torch.cat([held, arrived], 1)
            self._order = columns.int().argsort(stable=True, dim=1)[:, -self.length:]
            self._real = columns.gather(1, self._order)
        self._held = min(self.length, self._held + new)

    def _take(self, module: Any, query: torch.Tensor, kwargs: dict[str, Any]) -> None:
        """query: [batch, H, new, D]."""
        layer = self._layer_of.get(module)
        if layer is None:
            return
        query = query.detach()
        if layer in self.layers:
            query = torch.cat([self.layers[layer].queries, query], 2)
        if self._order is not None:
            batch, heads, _, size = query.shape
            order = self._order.to(query.device)
            query = query.gather(2, order[:, None, :, None].expand(batch, heads, -1, size))
        else:
            query = query[:, :, -self.length:].clone()
        self.layers[layer] = LayerQueries(query, kwargs.get("scaling"), kwargs.get("softcap"), kwargs.get("s_aux"))


def _new_tokens(mask: Any, batch: int, new: int) -> torch.Tensor | None:
    """[batch, new]: which of the new columns are tokens; None: all. Errors: InvalidArgument (ATTENTION_MASK)."""
    if mask is None:
        return None
    if isinstance(mask, torch.Tensor) and mask.ndim == 2:
        real = mask[:, -new:].bool()
        return None if bool(real.all()) else real
    if batch == 1:
        return None
    raise InvalidArgument("ATTENTION_MASK", "the queries of a batch need the 2D attention mask, [batch, tokens]")


class _Interception:
    """AttentionInterface.get_interface, replaced as long as somebody captures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._original: Callable[..., Any] | None = None

    def install(self) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                self._original = original = AttentionInterface.get_interface

                @functools.wraps(original)
                def get_interface(interfaces: Any, *args: Any, **kwargs: Any) -> Callable[..., Any]:
                    attend = original(interfaces, *args, **kwargs)
                    return _capturing(attend) if _active.get() else attend

                AttentionInterface.get_interface = get_interface

    def remove(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                AttentionInterface.get_interface = self._original


_interception = _Interception()


def _capturing(attend: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(attend)
    def captured(module: Any, query: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        for window in _active.get():
            window._take(module, query, kwargs)
        return attend(module, query, *args, **kwargs)

    return captured
