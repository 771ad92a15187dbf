"""The README's Hugging Face example runs as it stands, but for the server's address and the model's place."""

import re
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

README = Path(__file__).resolve().parents[1] / "README.md"
MODEL = README.parents[2] / "tests/quality/model/passphrase-llama"


def test_the_example_runs(server_address, capsys):
    example, = re.findall(r"```py\n(.*?)```", README.read_text(), re.DOTALL)
    assert "127.0.0.1:7421" in example and '"my-model"' in example
    example = example.replace("127.0.0.1:7421", server_address).replace("my-model", str(MODEL))
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("60 rows; the next position is 301")
