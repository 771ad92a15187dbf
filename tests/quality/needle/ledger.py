"""Trials as they are made, in a file that a stopped run goes on from."""

import json


class Ledger:
    """Trials by recipe (of a prompt, by its str) and cell (by its name), a line of JSON for each measurement of a
    prompt. The first line says what they are trials of; a file of something else is begun anew."""

    def __init__(self, path, subject):
        self._path = path
        self.trials, self.times = {}, {}  # by recipe in words, then by cell name
        kept = self._read(subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in kept))
        if not kept:
            self._append({"subject": subject})

    def _read(self, subject):
        """Takes in the lines that are whole, and returns them."""
        lines = self._path.read_text().split("\n") if self._path.exists() else []
        kept = []
        for line in lines[:-1]:  # what follows the last newline is nothing, or was cut off
            record = json.loads(line)
            if not kept and record != {"subject": subject}:
                return []
            if kept:
                self._take(record)
            kept.append(line)
        return kept

    def _take(self, record):
        self.trials.setdefault(record["prompt"], {}).update(record["trials"])
        self.times.setdefault(record["prompt"], {}).update(record["times"])

    def _append(self, record):
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def add(self, recipe, trials, times):
        record = {"prompt": str(recipe), "trials": trials, "times": times}
        self._take(record)
        self._append(record)

    def missing(self, recipe, cells):
        """Those of `cells` that this recipe has no trial of."""
        done = self.trials.get(str(recipe), {})
        return [cell for cell in cells if cell.name not in done]

    def of(self, cell, recipes):
        """The cell's trials, in the order of `recipes`."""
        return [self.trials[str(recipe)][cell.name] for recipe in recipes]
