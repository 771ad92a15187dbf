"""What the connector costs and saves in a real vLLM: time to the first token of one request at a time.

    PYTHON tests/bench/engines/offload_bench.py [--tokens 2000] [--rounds 10] [--sent] [--connector OPTIONS]

PYTHON: that of tests/engines/install.sh. --sent: rows are sent by gRPC instead of going through shared memory. OPTIONS: of
the connector, as JSON.

A random Llama of 88 million parameters, f32, on this CPU. In each round a prompt that nobody has seen goes to an engine alone
and to one with the connector, in turns first; then to the second one again, whose own cache is empty: the prefix comes from
the service. Printed: medians of times and of each round's ratios, and where the time of a load goes.
"""
import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/engines"), str(ROOT / "tests/support")]

from engine import Engine  # noqa: E402
from models import model_folder  # noqa: E402
from programs import running_server  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--sent", action="store_true")
    parser.add_argument("--connector", type=json.loads, default={})
    arguments = parser.parse_args()
    settings = {"dtype": "float32", "max_model_len": arguments.tokens + 64, "is_apart": True}
    draw = random.Random(0)
    times = {"alone": [], "miss": [], "hit": []}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        local = () if arguments.sent else ("--local-socket", f"{folder}/local", "--map-entries")
        address = stack.enter_context(running_server(folder, "--host-memory", "2GiB", *local))
        alone = stack.enter_context(Engine(model_folder("llama"), folder / "alone.log", **settings))
        connected = stack.enter_context(Engine(model_folder("llama"), folder / "with.log", address=address,
                                               connector=arguments.connector, **settings))
        for index in range(arguments.rounds + 1):
            prompt = [draw.randrange(3, 8000) for _ in range(arguments.tokens)]
            saves = connected.metrics().get("chunkkv_saves", 0)
            for name in ("alone", "miss") if index % 2 else ("miss", "alone"):
                times[name].append(seconds(alone if name == "alone" else connected, prompt))
            while arguments.connector.get("save", True) and connected.metrics().get("chunkkv_saves", 0) == saves:
                time.sleep(0.05)
                connected.generate([[1, 2, 3]], 1)  # numbers come with steps
            connected.forget()
            times["hit"].append(seconds(connected, prompt))
        counts = connected.metrics()
    times = {name: values[1:] for name, values in times.items()}  # the first round warms up
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{arguments.tokens} tokens, {arguments.rounds} rounds, first token after:")
    for name, label in (("alone", "engine alone"), ("miss", "nothing to find"), ("hit", "prefix found")):
        ratios = statistics.quantiles((time / alone for time, alone in zip(times[name], times["alone"])), n=4)
        print(f"  {label:<18}{medians[name] * 1e3:9.1f} ms{ratios[1]:8.3f} of the engine alone (quartiles {ratios[0]:.3f} to "
              f"{ratios[2]:.3f})")
    loads, lookups = counts["chunkkv_loads"], counts["chunkkv_lookups"]
    write = counts["chunkkv_load_write_seconds"] / loads
    print("of a hit, in the mean:")
    for label, value in (("lookup", counts["chunkkv_lookup_seconds"] / lookups),
                         ("transfer", counts["chunkkv_load_seconds"] / loads - write), ("copy into the cache", write)):
        print(f"  {label:<22}{value * 1e3:8.1f} ms{value / medians['hit']:7.1%}")
    print(f"  {'the rest':<22}steps of the engine, and what no full block holds")


def seconds(engine, prompt):
    (answer,) = engine.generate([prompt], 1)
    return answer["seconds"]


if __name__ == "__main__":
    main()
