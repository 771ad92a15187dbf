"""What keeps a benchmark from running; each message is for the person who asked."""


class BenchmarkError(Exception):
    """Base of all."""


class DataError(BenchmarkError):
    """A data folder lacks a published file, or a file is not of its published format."""


class ModelError(BenchmarkError):
    """The model cannot do what was asked of it."""


class PromptTooLong(ModelError):
    """A prompt and its response do not fit the model's window; other prompts may."""


class OptionError(BenchmarkError):
    """An option's value is not one that can be run."""


class MissingLibrary(BenchmarkError):
    """A library is not installed; the message names its pip package."""


class SettingsMismatch(BenchmarkError):
    """A folder holds results of other settings."""


class DamagedResults(BenchmarkError):
    """A line of the results, other than one cut off at the end, is not a result."""


class BusyFolder(BenchmarkError):
    """Another process is writing to the folder."""
