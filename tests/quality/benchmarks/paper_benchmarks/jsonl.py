"""Published data in JSON lines."""

import json

from .errors import DataError


def read(path, keys):
    """The objects of a file, one a line, each with all of `keys`. Errors: DataError, naming file and line."""
    rows = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not JSON: {error}") from error
            missing = [key for key in keys if key not in row] if isinstance(row, dict) else list(keys)
            if missing:
                raise DataError(f"{path}:{number}: no {', '.join(missing)}")
            rows.append(row)
    return rows


def find(data, names, hint):
    """The first of `names` that is a file under `data`. Errors: DataError, with the hint where to get it."""
    for name in names:
        if (data / name).is_file():
            return data / name
    raise DataError(f"{data} has no {names[0]}: {hint}")
