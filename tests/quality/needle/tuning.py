"""Writes the shipped model's reuse profile: `chunkkv tune` measures the puts that this makes to a server.

    python tests/quality/needle/tuning.py --out tests/quality/needle/profile

Writes profile.json, and profile.txt with what `chunkkv tune` says of it.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

QUALITY = Path(__file__).resolve().parents[1]
ROOT = QUALITY.parents[1]
sys.path[:0] = [str(QUALITY), str(QUALITY / "model"), str(QUALITY / "support"), str(ROOT / "tests/support")]

import chunkkv

from llama import Llama
from needle.cells import WINDOW_LENGTH
from needle.prompt_sets import LENGTH
from programs import find_program, server_at
from prompts import make_prompt
from served_model import identity, payload

FIRST_SEED = 40_000  # not among the prompts that profiles are judged on


@contextlib.contextmanager
def tuning(address, model_file, *arguments):
    """`chunkkv tune` on the server's next puts, as a process that records already."""
    program = find_program("CHUNKKV_CLI", "client/cli/chunkkv")
    process = subprocess.Popen([program, "tune", "--address", address, "--model-file", model_file, *map(str, arguments)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline()
        if "recording" not in said:
            raise RuntimeError(f"chunkkv tune does not record: {said}{process.communicate(timeout=60)[1]}")
        yield process
    finally:
        process.kill()
        process.wait()


def tune(address, prompt_count, keep_ratio, max_loss, out):
    """What `chunkkv tune` says; the profile is written to `out`. Each prompt is put with its sentences as chunks, and
    deleted: a put of what is stored already sends no scores."""
    llama = Llama()
    model = identity(llama)
    with tempfile.TemporaryDirectory() as folder, chunkkv.Client(address) as client:
        model_file = Path(folder) / "model.json"
        model_file.write_text(model.canonical_text())
        with tuning(address, model_file, "--next-puts", prompt_count, "--max-loss", max_loss, "--out", out) as process:
            for index in range(prompt_count):
                prompt = make_prompt(LENGTH, FIRST_SEED + index, depth=index / max(1, prompt_count - 1))
                spec = chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=keep_ratio, window_length=WINDOW_LENGTH,
                                              chunk_starts=prompt.chunk_starts)
                layers = [payload("chunk_kv", cache, WINDOW_LENGTH)
                          for cache in llama.prefill(prompt.tokens, WINDOW_LENGTH).layers]
                client.put(model=model, tokens=prompt.tokens, layers=layers, spec=spec)
                client.delete(model=model, tokens=prompt.tokens, spec=spec)
            said, errors = process.communicate(timeout=60)
            if process.returncode:
                raise RuntimeError(f"chunkkv tune failed: {errors}")
            return said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="the service (default: a server of its own)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the profile")
    parser.add_argument("--prompts", type=int, default=50, help="prompts measured (default %(default)s)")
    parser.add_argument("--keep-ratio", type=float, default=0.2, help="share of tokens kept (default %(default)s)")
    parser.add_argument("--max-loss", type=float, default=0.2, help="as of chunkkv tune (default %(default)s)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with server_at(options.address) as address:
        said = tune(address, options.prompts, options.keep_ratio, options.max_loss, options.out / "profile.json")
    (options.out / "profile.txt").write_text("".join(line for line in said.splitlines(True)
                                                     if not line.startswith("written")))
    print(said, end="")


if __name__ == "__main__":
    main()
