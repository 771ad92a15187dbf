"""The README's example runs as it stands, but for the server's address."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_example_runs(server_address, capsys):
    example, = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert "127.0.0.1:7421" in example
    exec(compile(example.replace("127.0.0.1:7421", server_address), "README.md", "exec"), {})
    assert "100 tokens kept of 1000" in capsys.readouterr().out
