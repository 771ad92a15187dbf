"""Decoding speed from a full cache, a compacted one, and one compacted with index reuse, through the real server.

    .venv/bin/python tests/bench/decode/decode_bench.py [--tokens-in 8192] [--tokens-out 256] [--json FILE] ...

The same prompt is prefilled once, then put, loaded and decoded by each variant, in alternating order. All decode with
the same kind of cache, written in place into room made beforehand, so that what differs is its length alone. A figure
whose repeats spread over more than --spread-limit is refused, and the program ends with 1 if the report's own are.
Needs torch and transformers, and the server (CHUNKKV_SERVER, or the newest that was built).
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "support")]

import chunkkv  # noqa: E402
import torch  # noqa: E402
from programs import running_server  # noqa: E402

from decode_figures import Limit  # noqa: E402
from decode_model import SHAPES, make_model  # noqa: E402
from decode_report import is_refused, result_of  # noqa: E402
from decode_table import text_of  # noqa: E402
from decode_trial import prefill, run_trial  # noqa: E402
from decode_variants import make_variants  # noqa: E402

POLICIES = ("chunk_kv", "snap_kv", "streaming_llm")
"""Those that the observation window serves; h2o scores by the attention of all queries, which is not captured here."""
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def parse(arguments):
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens-in", type=int, default=8192)
    parser.add_argument("--tokens-out", type=int, default=256, help="at least 2")
    parser.add_argument("--keep-ratio", type=float, default=0.1)
    parser.add_argument("--window-length", type=int, default=32)
    parser.add_argument("--reuse-group", type=int, default=2)
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=["chunk_kv"])
    parser.add_argument("--model", choices=SHAPES, default="100m")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if cuda else "cpu")
    parser.add_argument("--dtype", choices=DTYPES, help="default: f32 on a CPU, bf16 on a GPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--spread-limit", type=float, default=0.1)
    parser.add_argument("--memory-gib", type=float, default=8, help="that sequences are to fit in")
    parser.add_argument("--json", type=Path, metavar="FILE", help="takes all figures")
    options = parser.parse_args(arguments)
    if options.tokens_out < 2:
        parser.error("--tokens-out is at least 2: the first step and another")
    options.dtype = options.dtype or ("bf16" if options.device == "cuda" else "f32")
    return options


def run(options, address):
    """The result of one trial against the server at `address`."""
    model = make_model(options.model, options.tokens_in + options.tokens_out, DTYPES[options.dtype], options.device)
    variants = make_variants(options.policies, options.keep_ratio, options.window_length, options.reuse_group)
    prompt = prefill(model, options.tokens_in, options.window_length)
    with chunkkv.Client(address) as client:
        samples = run_trial(client, model, prompt, variants, options.tokens_out, options.repeats)
    settings = {name: value for name, value in vars(options).items() if name != "json"}
    return result_of(model, prompt, samples, settings, Limit(options.spread_limit), int(options.memory_gib * 2**30))


def main(arguments=None):
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as address:
        result = run(options, address)
    print(text_of(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return int(is_refused(result))


if __name__ == "__main__":
    sys.exit(main())
