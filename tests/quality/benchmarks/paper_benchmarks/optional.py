"""Libraries that a benchmark needs beside the client's own."""

import importlib


class MissingLibrary(ImportError):
    """A library is not installed; the message names its pip package."""


def require(module, package, purpose):
    """The module. Errors: MissingLibrary."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingLibrary(f"{purpose} needs {module}: pip install {package}") from error
