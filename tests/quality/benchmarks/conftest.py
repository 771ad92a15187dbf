"""Lets the tests import the benchmarks, the shipped model and the tests' support; makes data of published formats."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

sys.path[:0] = [str(HERE), str(HERE.parent / "model"), str(HERE.parents[1] / "support")]


@pytest.fixture
def codec():
    from word_codec import WordCodec

    return WordCodec()


@pytest.fixture
def published(tmp_path):
    """Writes files of the published formats into a folder of the test's own."""
    from published_data import PublishedData

    folder = tmp_path / "data"
    folder.mkdir()
    return PublishedData(folder)
