"""Finds a passphrase in a long prompt, from the full KV cache and from compacted ones served by ChunkKV.

    python tests/quality/demo/demo.py --address 127.0.0.1:7421

Needs NumPy and the `chunkkv` package; the model is ../model/passphrase-llama.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

QUALITY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(QUALITY / "model"), str(QUALITY / "support")]

import chunkkv
import numpy as np

import screen
import trial
from llama import Llama
from methods import FULL, METHODS, WINDOW_LENGTH
from progress import Progress
from prompts import make_prompt
from served_model import identity
from tokenizer import Tokenizer

MAPPED_KEEP_RATIO = 0.2
EXAMPLE_DEPTH = 0.6


class Demo:
    def __init__(self, client, length, seed):
        self.client, self.length, self.seed = client, length, seed
        self.llama, self.tokenizer = Llama(), Tokenizer()
        self.model = identity(self.llama)

    def outcomes(self, prompt):
        """An Outcome for each of METHODS, and the prefill's milliseconds."""
        prefill, prefill_ms = trial.timed(lambda: self.llama.prefill(prompt.tokens, WINDOW_LENGTH))
        return [trial.run(self.client, self.model, self.llama, self.tokenizer, prompt, prefill, method)
                for method in METHODS], prefill_ms

    def example(self):
        """Prints one prompt, and what became of it; returns it for JSON."""
        prompt = make_prompt(self.length, self.seed, depth=EXAMPLE_DEPTH)
        outcomes, prefill_ms = self.outcomes(prompt)
        wanted = self.tokenizer.decode(prompt.answer)

        print(screen.heading(f"A prompt of {self.length:,} tokens, {len(prompt.needles)} passphrases in it"))
        print(*screen.prompt_lines(prompt), sep="\n")
        print(screen.heading("Answers"))
        print(f"  {'wanted':<28}{wanted}", *map(screen.answer_line, outcomes), sep="\n")
        print(screen.heading(f"Bytes and times (prefill {prefill_ms:.0f} ms)"))
        print(screen.outcome_header(), *map(screen.outcome_line, outcomes), sep="\n")
        for outcome in outcomes:
            if outcome.method.keep_ratio == MAPPED_KEEP_RATIO:
                print(screen.map_heading(outcome.method))
                print(*screen.map_lines(outcome, prompt), sep="\n")
        return {"prompt": " ".join(prompt.words), "wanted": wanted, "prefill_ms": prefill_ms,
                "outcomes": [outcome.as_json() for outcome in outcomes]}

    def table(self, prompts):
        """Prints shares and means over `prompts` prompts, the asked needle at every depth; returns them for JSON."""
        rows = []
        with Progress("prompt", prompts) as progress:
            for index in range(prompts):
                depth = index / max(1, prompts - 1)
                rows.append(self.outcomes(make_prompt(self.length, self.seed + 1 + index, depth=depth))[0])
                progress.update(index + 1)
        full_bytes = np.mean([outcomes[METHODS.index(FULL)].stored_bytes for outcomes in rows])
        summaries = [summarize(column, full_bytes) for column in zip(*rows)]

        print(screen.heading(f"{prompts} prompts of {self.length:,} tokens"))
        print(screen.summary_header(), *map(screen.summary_line, METHODS, summaries), sep="\n")
        return [{"method": asdict(method), **summary} for method, summary in zip(METHODS, summaries)]


def summarize(outcomes, full_bytes):
    """Means over one method's outcomes; stored_share is of the full cache's bytes."""
    mean = lambda name: float(np.mean([getattr(outcome, name) for outcome in outcomes]))
    return {"exact": mean("exact"), "stored_share": mean("stored_bytes") / full_bytes,
            "retained_mass": None if outcomes[0].retained_mass is None else mean("retained_mass"),
            "put_ms": mean("put_ms"), "get_ms": mean("get_ms"), "decode_ms": mean("decode_ms")}


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="127.0.0.1:7421", help="the service (default %(default)s)")
    parser.add_argument("--prompts", type=int, default=50, help="prompts of the table (default %(default)s)")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a prompt (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first prompt (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the results there")
    return parser.parse_args()


def main():
    chosen = options()
    with chunkkv.Client(chosen.address) as client:
        demo = Demo(client, chosen.length, chosen.seed)
        results = {"length": chosen.length, "seed": chosen.seed, "example": demo.example()}
        if chosen.prompts:
            results["table"] = demo.table(chosen.prompts)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
