"""The folder of a run: its settings, and one line of results an example and method, so that a stopped run goes on.

A row has `example` and `method`, and `scores`, or `skipped` with the reason why there are none.
"""

import fcntl
import json
import os
from pathlib import Path

from .errors import BusyFolder, DamagedResults, SettingsMismatch

RESULTS, SETTINGS = "results.jsonl", "settings.json"


def _differences(before, now, path=""):
    """`key: before -> now` of every value that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [line for key in sorted(set(before) | set(now))
                for line in _differences(before.get(key), now.get(key), f"{path}.{key}" if path else key)]
    return [] if before == now else [f"{path}: {json.dumps(before)} -> {json.dumps(now)}"]


def write_whole(path, text):
    """The file appears with all of the text, or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


class ResultsFile:
    """`done` holds the (example, method) of every row; a context manager that holds the folder for one process."""

    def __init__(self, folder, settings):
        """Opens the folder, or makes it. A line that was cut off by a kill is removed from the file.

        Errors: SettingsMismatch, DamagedResults, BusyFolder."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rows, self.done = [], set()
        self._file = open(self.folder / RESULTS, "a+b")
        try:
            self._hold()
            self._agree(json.loads(json.dumps(settings)))
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def append(self, row):
        """Writes one row; it is on its way to the disk when this returns.

        Errors: ValueError where the example has a row of the method."""
        self._keep(row)
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        self._file.write(line)
        self._file.flush()

    def _keep(self, row):
        key = row["example"], row["method"]
        if key in self.done:
            raise ValueError(f"{row['example']} has a result of {row['method']} already")
        self.done.add(key)
        self.rows.append(row)

    def _hold(self):
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyFolder(f"another run is writing to {self.folder}") from error

    def _agree(self, settings):
        path = self.folder / SETTINGS
        if not path.exists():
            if os.fstat(self._file.fileno()).st_size:
                raise SettingsMismatch(f"{self.folder} has results but no {SETTINGS}")
            write_whole(path, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")
            return
        differences = _differences(json.loads(path.read_text(encoding="utf-8")), settings)
        if differences:
            raise SettingsMismatch(f"{self.folder} holds results of other settings; take another folder:\n  "
                                   + "\n  ".join(differences))

    def _read(self):
        self._file.seek(0)
        content = self._file.read()
        whole = content[:content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                row = json.loads(line)
                row["example"], row["method"], row["skipped" if "skipped" in row else "scores"]
            except (ValueError, KeyError, TypeError) as error:
                raise DamagedResults(f"{self.folder / RESULTS}:{number} is not a result") from error
            try:
                self._keep(row)
            except ValueError as error:
                raise DamagedResults(f"{self.folder / RESULTS}:{number}: {error}") from error
