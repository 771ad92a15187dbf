"""Measures what a ledger is missing, on several processes."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from progress import Progress

_laboratory = None


def run(ledger, prompt_set, cells, make_laboratory, workers=1):
    """Adds a trial of every cell and prompt that has none to the ledger, in the order of the prompts.

    make_laboratory: called once a process, without arguments; what it returns measures (recipe, cells). It must be
    picklable where there are several workers.
    """
    pending = [(recipe, missing) for recipe in prompt_set.recipes if (missing := ledger.missing(recipe, cells))]
    with Progress(f"{prompt_set.name}: prompt", len(pending)) as progress:
        for done, (recipe, measured) in enumerate(_measured(pending, make_laboratory, workers), 1):
            ledger.add(recipe, *measured)
            progress.update(done)
    return len(pending)


def _measured(pending, make_laboratory, workers):
    if workers == 1 or len(pending) < 2:
        laboratory = make_laboratory()
        yield from ((recipe, laboratory.measure(recipe, cells)) for recipe, cells in pending)
        return
    spawned = multiprocessing.get_context("spawn")  # gRPC does not live through a fork
    with ProcessPoolExecutor(workers, spawned, _start, (make_laboratory,)) as pool:
        yield from pool.map(_measure, pending)


def _start(make_laboratory):
    """Once in each process of the pool."""
    global _laboratory
    _laboratory = make_laboratory()


def _measure(task):
    recipe, cells = task
    return recipe, _laboratory.measure(recipe, cells)
