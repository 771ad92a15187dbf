"""Libraries that a benchmark needs beside the client's own."""

import importlib
from dataclasses import dataclass

from .errors import MissingLibrary


@dataclass(frozen=True)
class Library:
    """A module, the pip package that has it, and what needs it."""
    module: str
    package: str
    purpose: str

    def load(self):
        """The module. Errors: MissingLibrary."""
        try:
            return importlib.import_module(self.module)
        except ImportError as error:
            raise MissingLibrary(
                f"{self.purpose} needs {self.module} ({error}): pip install {self.package}") from error
