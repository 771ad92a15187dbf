"""All measurements of a run, and the results made of them."""

import hashlib
import importlib.util
import json
import sys
import time
from functools import partial

import chunkkv
import numpy as np

from folder import FOLDER
from needle import campaign, sweeps
from needle.cells import WINDOW_LENGTH, Cell
from needle.figures import Figures, heat_figures
from needle.laboratory import Laboratory
from needle.ledger import Ledger
from needle.prompt_sets import confirmation_set, heat_set, main_set
from needle.recommendation import recommendation
from needle.verdicts import verdicts

AGREEMENT_PROMPTS = 100


def is_installed(*modules):
    return all(importlib.util.find_spec(module) for module in modules)


def chosen_sweeps(options):
    """The sweeps to run, and [{"title", "reason"}] of those left out."""
    chosen, left_out = list(sweeps.standard()), []
    if is_installed("transformers"):
        chosen.append(sweeps.text_chunks())
    else:
        left_out.append({"title": "Sentences found in the text", "reason": "transformers is not installed"})
    if options.groups:
        chosen.append(sweeps.profile(options.groups))
    else:
        left_out.append({"title": "Reuse profile", "reason": "no --profile and no --groups were given"})
    if options.without_kvpress or not is_installed("torch", "kvpress"):
        left_out.append({"title": "Side by side with kvpress", "reason": "torch and kvpress are not installed, or "
                                                                         "--without-kvpress was given"})
    else:
        chosen.append(sweeps.kvpress())
    return chosen, left_out


class Study:
    """What `options` of the command ask for, through the service at `address`."""

    def __init__(self, options, address):
        self._options, self._address = options, address
        self._laboratory = partial(Laboratory, address)
        weights = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
        with chunkkv.Client(address) as client:
            server = client.capabilities().server_version
        self._subject = {"weights": weights[:16], "server": server}

    def _ledger(self, prompt_set):
        return Ledger(self._options.work / f"{prompt_set.name}.jsonl", self._subject)

    def results(self):
        options = self._options
        chosen, left_out = chosen_sweeps(options)
        prompt_set = main_set(options.prompts, options.length)
        ledger = self._ledger(prompt_set)
        cells = list(dict.fromkeys(cell for sweep in chosen for cell in sweep.cells))
        own = [cell for cell in cells if isinstance(cell, Cell)]
        self._measure(ledger, prompt_set, own, self._laboratory)
        with_kvpress = len(own) < len(cells)
        if with_kvpress:
            from needle.kvpress_side import KvpressLaboratory

            self._measure(ledger, prompt_set, [cell for cell in cells if cell not in own], KvpressLaboratory)

        figures = Figures(ledger, prompt_set)
        results = {
            "command": options.command,
            "settings": {"prompts": options.prompts, "length": options.length, "window_length": WINDOW_LENGTH,
                         "heat_prompts": options.heat_prompts, "heat_lengths": options.heat_lengths, **self._subject},
            "left_out": left_out, "sweeps": [figures.sweep(sweep) for sweep in chosen],
            "cells": {cell.name: figures.cell(cell) for cell in cells}, "heat": self._heat(),
            "confirmation": self._confirmation(),
            "kvpress_agreement": self._agreement() if with_kvpress else None,
            "above_snap_kv": [
                {"series": series, "keep_ratio": keep,
                 **figures.similarity(sweeps.POLICIES[series](keep), sweeps.POLICIES[sweeps.SNAP_KV](keep))}
                for keep in sweeps.KEEP_RATIOS for series in (sweeps.SENTENCES, sweeps.GRID)],
            "recommendation": recommendation(figures)}
        self._write_times(ledger)
        return {"verdicts": verdicts(results), **results}

    def _measure(self, ledger, prompt_set, cells, make_laboratory):
        started = time.monotonic()
        say = partial(print, file=sys.stderr, flush=True)
        say(f"{prompt_set.name}: {len(cells)} cells of {len(prompt_set.recipes)} prompts")
        made = campaign.run(ledger, prompt_set, cells, make_laboratory, self._options.workers)
        say(f"  {made} prompts in {time.monotonic() - started:.0f} s")

    def _confirmation(self):
        """A sweep's figures with the cells that they are of."""
        sweep, prompt_set = sweeps.confirmation(), confirmation_set(self._options.prompts, self._options.length)
        ledger = self._ledger(prompt_set)
        self._measure(ledger, prompt_set, sweep.cells, self._laboratory)
        figures = Figures(ledger, prompt_set)
        return {"sweep": figures.sweep(sweep), "cells": {cell.name: figures.cell(cell) for cell in sweep.cells}}

    def _heat(self):
        options = self._options
        if not options.heat_prompts:
            return None
        prompt_set = heat_set(options.heat_prompts, options.heat_lengths)
        ledger, cells = self._ledger(prompt_set), sweeps.heat_cells()
        self._measure(ledger, prompt_set, list(cells.values()), self._laboratory)
        return {"keep_ratio": sweeps.HEAT_RATIO, "prompts": options.heat_prompts,
                "places": heat_figures(ledger, prompt_set, cells)}

    def _agreement(self):
        from needle.kvpress_agreement import AGREED, AgreementLaboratory, agreement_figures, case_set

        cases = case_set(AGREEMENT_PROMPTS)
        ledger = self._ledger(cases)
        self._measure(ledger, cases, AGREED, partial(AgreementLaboratory, self._address))
        return agreement_figures(ledger, cases)

    def _write_times(self, ledger):
        """Mean milliseconds of each cell, beside the trials: they are no figures of the results."""
        by_cell = {}
        for times in ledger.times.values():
            for name, one in times.items():
                by_cell.setdefault(name, []).append(one)
        means = {name: {step: round(float(np.mean([one[step] for one in all_times])), 3) for step in all_times[0]}
                 for name, all_times in by_cell.items()}
        (self._options.work / "times_ms.json").write_text(json.dumps(means, indent=1) + "\n")
