"""The command: `run.py BENCHMARK --model FOLDER --data FOLDER --out FOLDER --address HOST:PORT ...`."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import chunkkv
from chunkkv.chunking import LIMITS

from . import fingerprints, longbench, needle, report, session
from .errors import BenchmarkError
from .gsm8k import Gsm8k, ManyShotGsm8k
from .jailbreakv import JailbreakV
from .methods import GRID, POLICIES, Budget, methods_of
from .optional import Library
from .results_file import ResultsFile

KEPT_TOKENS_OF_NEEDLE = 128
KEEP_RATIO = 0.1
RUNTIME = tuple(Library(module, "'chunkkv[hf]'", "running a model")
                for module in ("torch", "transformers", "chunkkv.hf"))


def integers(text):
    """`1000,2000`, or `1000:8000:100` with its end."""
    if ":" in text:
        first, last, step = (int(part) for part in text.split(":"))
        return tuple(range(first, last + 1, step))
    return tuple(int(part) for part in text.split(","))


def _common():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--model", type=Path, required=True, help="folder of a Hugging Face model")
    common.add_argument("--data", type=Path, required=True, help="folder of the benchmark's published files")
    common.add_argument("--out", type=Path, required=True, help="folder of the results; a stopped run goes on there")
    common.add_argument("--address", required=True, help="HOST:PORT of a chunkkv-server")
    common.add_argument("--policy", nargs="+", choices=POLICIES, default=["full", "chunk_kv"])
    budget = common.add_mutually_exclusive_group()
    budget.add_argument("--keep-ratio", type=float, help=f"share of the prompt kept [{KEEP_RATIO}]")
    budget.add_argument("--max-tokens", type=int, help=f"tokens of the prompt kept [needle: {KEPT_TOKENS_OF_NEEDLE}]")
    common.add_argument("--chunks", nargs="+", choices=(GRID, *LIMITS), default=[GRID],
                        help="chunk_kv's chunks; several are compared [grid]")
    common.add_argument("--chunk-length", type=int, default=10, help="tokens of a grid's chunk [10]")
    common.add_argument("--window-length", type=int, default=32, help="observation window [32]")
    common.add_argument("--reuse-group", type=int, default=1, help="layers that share kept positions [1; paper: 2]")
    common.add_argument("--pool", type=int, help="width of snap_kv's smoothing [5]")
    common.add_argument("--chat", choices=("auto", "on", "off"), default="auto",
                        help="put prompts into the model's chat template [auto: as published]")
    common.add_argument("--limit", type=int, help="first examples of each dataset, length or format only")
    common.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    common.add_argument("--device", default="cpu")
    return common


def parser():
    common = _common()
    top = argparse.ArgumentParser(prog="run.py", description="The benchmarks of the ChunkKV paper, through a server.")
    kinds = top.add_subparsers(dest="benchmark", required=True)

    def add(name, purpose):
        return kinds.add_parser(name, parents=[common], help=purpose, description=purpose)

    hay = add("needle", "Needle in a Haystack over *.txt essays")
    hay.add_argument("--lengths", type=integers, default=needle.LENGTHS, help="tokens: A,B,C or FIRST:LAST:STEP")
    hay.add_argument("--depths", type=integers, default=needle.DEPTHS, help="percent")
    hay.add_argument("--needle", default=needle.NEEDLE)
    hay.add_argument("--question", default=needle.QUESTION)
    hay.add_argument("--answer", default=needle.ANSWER)
    hay.add_argument("--template", default=needle.TEMPLATE, help="with {context} and {question}")
    hay.add_argument("--margin", type=int, default=needle.MARGIN, help="tokens of a length left for all but essays")
    hay.add_argument("--max-new-tokens", type=int, default=needle.MAX_NEW_TOKENS)
    bench = add("longbench", "LongBench over its JSONL files")
    bench.add_argument("--datasets", nargs="+", default=longbench.ENGLISH_AND_CODE)
    bench.add_argument("--input-tokens", type=int, help="longest prompt before it is cut in the middle")
    add("gsm8k", "GSM8K, eight chain-of-thought exemplars")
    many = add("many-shot-gsm8k", "GSM8K, many exemplars of its training file")
    many.add_argument("--shots", type=int, default=50)
    many.add_argument("--seed", type=int, default=0, help="of the choice of exemplars")
    jail = add("jailbreakv", "JailbreakV, text part: share of refusals")
    jail.add_argument("--mini", action="store_true", help="the published selection only")
    return top


def benchmark_of(arguments):
    """The benchmark, and its own settings. Errors: DataError, OptionError, MissingLibrary."""
    own = {
        "needle": (needle.NeedleInAHaystack, {
            "lengths": "lengths", "depths": "depths", "needle": "needle", "question": "question", "answer": "answer",
            "template": "template", "margin": "margin", "max_new_tokens": "max_new_tokens"}),
        "longbench": (longbench.LongBench, {"datasets": "datasets", "input_tokens": "input_tokens"}),
        "gsm8k": (Gsm8k, {}),
        "many-shot-gsm8k": (ManyShotGsm8k, {"shot_count": "shots", "seed": "seed"}),
        "jailbreakv": (JailbreakV, {"only_mini": "mini"}),
    }
    kind, names = own[arguments.benchmark]
    options = {parameter: getattr(arguments, argument) for parameter, argument in names.items()}
    benchmark = kind(**options)
    for library in benchmark.libraries:
        library.load()
    return benchmark, options


def budget_of(arguments):
    keep_ratio, max_tokens = arguments.keep_ratio, arguments.max_tokens
    if keep_ratio is None and max_tokens is None:
        if arguments.benchmark == "needle":
            max_tokens = KEPT_TOKENS_OF_NEEDLE
        else:
            keep_ratio = KEEP_RATIO
    return Budget(keep_ratio, max_tokens, arguments.window_length, arguments.chunk_length, arguments.reuse_group,
                  arguments.pool)


def settings_of(arguments, benchmark, options, budget, model_digest):
    """All that a result depends on, as JSON. Methods and the limit are not part: a run may be widened."""
    return {"benchmark": arguments.benchmark, "options": options, "budget": asdict(budget), "chat": arguments.chat,
            "model": {"name": arguments.model.resolve().name, "digest": model_digest, "dtype": arguments.dtype},
            "data": fingerprints.data_digest(benchmark.files(arguments.data), arguments.data)}


def run(arguments):
    """Runs what is pending, writes and prints the summary and returns it; progress goes to stderr.

    Errors: BenchmarkError, chunkkv.Error."""
    for library in RUNTIME:
        library.load()
    from .served_model import ServedModel

    benchmark, options = benchmark_of(arguments)
    budget, methods = budget_of(arguments), methods_of(arguments.policy, arguments.chunks)
    digest = fingerprints.model_digest(arguments.model)
    settings = settings_of(arguments, benchmark, options, budget, digest)

    def progress(row):
        if "skipped" in row:
            found = f"skipped: {row['skipped']}"
        else:
            found = "  ".join(f"{metric} {value:.1f}" for metric, value in row["scores"].items())
        print(f"{row['example']}  {row['method']}  {found}", file=sys.stderr, flush=True)

    with ResultsFile(arguments.out, settings) as results:
        if results.rows:
            print(f"{len(results.rows)} results are there already", file=sys.stderr)
        with ServedModel(arguments.model, digest, arguments.address, budget, methods, chat=arguments.chat,
                         dtype=arguments.dtype, device=arguments.device) as model:
            examples = benchmark.examples(arguments.data, model.codec, model.context_window)
            session.run(session.limited(examples, arguments.limit), benchmark, model, methods, results, progress)
        summary = report.summarize(benchmark, settings, results.rows, benchmark.notes(arguments.data))
        print(report.write(results.folder, benchmark, summary))
    return summary


def main(arguments=None):
    try:
        run(parser().parse_args(arguments))
    except (BenchmarkError, chunkkv.Error) as error:
        sys.exit(f"run.py: {error}")
