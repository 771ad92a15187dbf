"""The example: two processes, the real server, the shipped model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

REPOSITORY = Path(__file__).resolve().parents[3]
EXAMPLE = REPOSITORY / "client/python/examples/prefill_decode"
MODEL_TESTS = REPOSITORY / "tests/quality/model"


@pytest.fixture
def prompt(monkeypatch):
    """A prompt of 1,024 words that hides four passphrases and asks for one."""
    monkeypatch.syspath_prepend(str(MODEL_TESTS))
    from prompts import make_prompt

    return make_prompt(1024, 1)


def run(program, *arguments):
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, EXAMPLE / program, *map(str, arguments)], capture_output=True, text=True,
                          env=quiet, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_tenth_of_the_prompt_answers_in_another_process(server_address, prompt, tmp_path):
    text, answer = tmp_path / "prompt.txt", prompt.answer.tolist()
    text.write_text(" ".join(prompt.words[1:]))  # the tokenizer begins with <s> by itself
    folder = MODEL_TESTS / "passphrase-llama"
    first = run("prefill.py", folder, text, "--server", server_address)
    printed = run("decode.py", folder, text, first, "--server", server_address, "--max-new-tokens", len(answer) - 1)
    size, said = printed.splitlines()
    assert size == "102 of 1024 tokens; the next position is 1024"
    import vocabulary

    assert said.split() == [vocabulary.WORDS[word] for word in answer]
