"""The chart as `helm template` renders it."""
import sys
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "server"), str(HERE.parent / "support"),
                str(HERE.parents[1] / "client/python/tests")]

from deploy_tools import CHART, find_tool, run  # noqa: E402


@pytest.fixture(scope="session")
def helm():
    return find_tool("helm")


@pytest.fixture
def helm_template(helm, tmp_path):
    """`helm template` with values; the finished process, well or not."""
    def template(values, *arguments):
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        return run(helm, "template", "store", CHART, "--namespace", "llm", "--values", file, *arguments, check=False)

    return template


@pytest.fixture
def render(helm_template):
    """Objects of the chart, by kind and name."""
    def objects(values, *arguments):
        done = helm_template(values, *arguments)
        assert done.returncode == 0, done.stderr
        loaded = [found for found in yaml.safe_load_all(done.stdout) if found]
        return {(found["kind"], found["metadata"]["name"]): found for found in loaded}

    return objects
