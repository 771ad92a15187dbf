"""The README's examples run as they stand, but for the server's address."""

import re
from pathlib import Path

import chunkkv

README = Path(__file__).resolve().parents[1] / "README.md"


def run(language, address, names):
    example, = re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)
    assert "127.0.0.1:7421" in example
    exec(compile(example.replace("127.0.0.1:7421", address), "README.md", "exec"), names)


def test_the_example_runs(server_address, capsys):
    run("python", server_address, {})
    assert "100 tokens kept of 1000" in capsys.readouterr().out


def test_the_example_of_shared_memory_runs_after_it(sharing_address, capsys):
    names = {}
    run("python", sharing_address, names)
    with chunkkv.Client(sharing_address) as client:
        client.delete(**{name: names[name] for name in ("model", "tokens", "spec")})
    run("python3", sharing_address, names)
    assert "mapped 409600 bytes; False" in capsys.readouterr().out
