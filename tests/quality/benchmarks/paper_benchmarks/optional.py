"""Libraries that a benchmark needs beside the client's own."""

import importlib

from .errors import MissingLibrary


def require(module, package, purpose):
    """The module. Errors: MissingLibrary."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingLibrary(f"{purpose} needs {module} ({error}): pip install {package}") from error
