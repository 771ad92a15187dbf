"""What a run's results depend on, named by digest, so that a resumed run is known to be of the same model and data."""

import hashlib
import json

from .errors import ModelError

END_BYTES = 1 << 20


def _content_digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ends_digest(path, size):
    """SHA-256 of the file's first and last MiB: weights of many GiB are told apart in no time."""
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read(END_BYTES))
        file.seek(max(END_BYTES, size - END_BYTES))
        digest.update(file.read())
    return digest.hexdigest()


def _combined(entries):
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def data_digest(files, folder):
    """SHA-256 over the names and contents of the files."""
    return _combined([[str(path.relative_to(folder)), _content_digest(path)] for path in files])


def model_digest(folder):
    """SHA-256 over the names, sizes and ends of the folder's files. Errors: ModelError where it holds no model."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has no config.json: the folder of a Hugging Face model is needed")
    files = [(path, path.stat().st_size) for path in sorted(folder.iterdir()) if path.is_file()]
    return _combined([[path.name, size, _ends_digest(path, size)] for path, size in files])
