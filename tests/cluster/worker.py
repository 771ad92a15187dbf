"""A client of a cluster, on a host of its own. Reads calls as lines of JSON, answers each with a line:

    {"do": "put", "seeds": [...]}    -> {"stored": [...], "failed": {seed: error}}
    {"do": "get", "seeds": [...]}    -> {"served": [...], "missed": [...], "wrong": [...], "failed": {seed: error}}
    {"do": "owners", "seeds": [...]} -> {seed: name of the replica}
    {"do": "replicas"}               -> [name, ...]
    {"do": "counts"}                 -> {name: entries of the replica, null where it cannot be asked}
"""

import json
import sys

import chunkkv
import numpy as np
from chunkkv._rendezvous import routing_key_of

TOKENS, LAYERS, HEADS, SIZE = 200, 2, 2, 16
MODEL = chunkkv.ModelIdentity(name="cluster", revision="1", kv_dtype="f32", layer_count=LAYERS, kv_head_count=HEADS,
                              key_head_size=SIZE, value_head_size=SIZE)
FULL = chunkkv.CompactionSpec(policy="full")


def prompt(seed):
    return np.random.default_rng([seed, 1]).integers(0, 2**32, TOKENS, dtype=np.uint32)


def cache(seed):
    draw = np.random.default_rng(seed).standard_normal
    return [(draw((TOKENS, HEADS, SIZE), "f4"), draw((TOKENS, HEADS, SIZE), "f4")) for _ in range(LAYERS)]


def put(client, seeds):
    answer = {"stored": [], "failed": {}}
    for seed in seeds:
        try:
            client.put(model=MODEL, tokens=prompt(seed), spec=FULL, timeout=20,
                       layers=[chunkkv.Layer(k=k, v=v) for k, v in cache(seed)])
            answer["stored"].append(seed)
        except chunkkv.Error as error:
            answer["failed"][seed] = str(error)
    return answer


def get(client, seeds):
    answer = {"served": [], "missed": [], "wrong": [], "failed": {}}
    for seed in seeds:
        try:
            entry = client.get(model=MODEL, tokens=prompt(seed), timeout=20)
            is_right = len(entry.layers) == LAYERS and all(
                layer.k.tobytes() == k.tobytes() and layer.v.tobytes() == v.tobytes()
                for layer, (k, v) in zip(entry.layers, cache(seed)))
            answer["served" if is_right else "wrong"].append(seed)
        except chunkkv.NotFound:
            answer["missed"].append(seed)
        except chunkkv.Error as error:
            answer["failed"][seed] = str(error)
    return answer


def owners(client, seeds):
    return {seed: client.order(routing_key_of(chunkkv.PromptKey.of_tokens(prompt(seed))))[0] for seed in seeds}


def counts(client):
    return {name: None if isinstance(stats, chunkkv.Error) else stats.tenant["entries"]
            for name, stats in client.stats(timeout=5).items()}


def main():
    with chunkkv.RoutedClient(sys.argv[1], timing=chunkkv.Timing(resolve_every=float(sys.argv[2]))) as client:
        for line in sys.stdin:
            call = json.loads(line)
            if call["do"] in ("replicas", "counts"):
                answer = client.replicas() if call["do"] == "replicas" else counts(client)
            else:
                answer = {"put": put, "get": get, "owners": owners}[call["do"]](client, call["seeds"])
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
