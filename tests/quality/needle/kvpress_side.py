"""kvpress on the same model and prompts: transformers prefills, kvpress chooses, passphrase-llama decodes.

Needs torch, transformers and kvpress.
"""

from dataclasses import dataclass

import numpy as np
import torch
from kvpress import ChunkKVPress, ObservedAttentionPress, SnapKVPress, StreamingLLMPress
from kvpress.presses.base_press import BasePress
from transformers import DynamicCache, LlamaForCausalLM

from folder import FOLDER
from llama import Llama
from needle.laboratory import answered
from prompts import ANSWER_LENGTH


class Observer(BasePress):
    """Runs several presses on one prefill, whose cache it leaves whole.

    rows: what each press keeps, per layer k and v float32 [kept, Hkv, D]; positions: per layer int32 [Hkv, kept],
    ascending in each head.
    """

    def __init__(self, presses):
        self._presses = presses
        self.rows = [[] for _ in presses]
        self.positions = [[] for _ in presses]

    def compress(self, module, hidden_states, keys, values, attentions, kwargs):
        places = torch.arange(keys.shape[2], dtype=torch.float32)[None, None, :, None].expand_as(values)
        for press, rows, positions in zip(self._presses, self.rows, self.positions):
            seen = attentions if isinstance(press, ObservedAttentionPress) else None  # the others refuse or rederive it
            kept_keys, kept = press.compress(module, hidden_states, keys, places, seen, kwargs)
            kept_values = values.gather(2, kept.long())
            rows.append(tuple(kept[0].transpose(0, 1).numpy() for kept in (kept_keys, kept_values)))
            positions.append(kept[0, :, :, 0].sort(-1).values.numpy().astype(np.int32))
        return keys, values


def load_model():
    """The shipped model in transformers; its attention is eager, so that it can be observed."""
    torch.set_num_threads(1)
    return LlamaForCausalLM.from_pretrained(FOLDER, attn_implementation="eager").eval()


def observe(model, tokens, presses):
    """An Observer of `presses` after a prefill of tokens int [L]."""
    observer = Observer(presses)
    with torch.no_grad(), observer(model):
        model.model(torch.from_numpy(np.asarray(tokens, np.int64))[None], past_key_values=DynamicCache(),
                    use_cache=True)
    return observer


@dataclass(frozen=True)
class PressCell:
    """A press and its parameters, on the laboratory's window."""
    press: str
    keep_ratio: float
    window_length: int
    kernel_size: int | None = None
    chunk_length: int | None = None

    @property
    def name(self):
        more = [f"{name} {value}" for name, value in (("grid of", self.chunk_length), ("kernel", self.kernel_size))
                if value is not None]
        return ", ".join([f"kvpress {self.press}", f"keep {self.keep_ratio:.0%}", *more])

    def make(self):
        removed = 1 - self.keep_ratio
        if self.press == "StreamingLLMPress":
            return StreamingLLMPress(removed)
        if self.press == "ObservedAttentionPress":
            return ObservedAttentionPress(removed)
        scorer = SnapKVPress(removed, self.window_length, self.kernel_size)
        return ChunkKVPress(scorer, self.chunk_length) if self.press == "ChunkKVPress" else scorer


class KvpressLaboratory:
    """Measures PressCells as Laboratory measures Cells."""

    def __init__(self):
        self._model, self._llama = load_model(), Llama()

    def measure(self, recipe, cells):
        """Trials by the cells' names: {"exact", "words", "kept"}; and no times."""
        prompt = recipe.prompt()
        observer = observe(self._model, prompt.tokens, [cell.make() for cell in cells])
        trials = {}
        for cell, rows in zip(cells, observer.rows):
            answer = self._llama.decode(rows, len(prompt.tokens), prompt.tokens[-1], ANSWER_LENGTH)
            trials[cell.name] = {**answered(answer, prompt), "kept": len(rows[0][0])}
        return trials, {}
