"""A vLLM engine that does what it is told by lines of JSON on standard input, and answers with lines on descriptor 3.

    engine_main.py SETTINGS      the arguments of vllm.LLM, as JSON
"""
import json
import os
import sys
import time

from prometheus_client import REGISTRY
from vllm import LLM, SamplingParams
from vllm.v1.request import RequestStatus


def sampling_of(max_tokens, transfer, **more):
    return SamplingParams(temperature=0, max_tokens=max_tokens, ignore_eos=True,
                          extra_args={"kv_transfer_params": transfer} if transfer else None, **more)


def generate(llm, prompts, max_tokens, transfer=None, salts=None, **sampling):
    """[{tokens, cached_tokens, finish_reason, transfer, seconds}] of each prompt; seconds: of them all. transfer:
    kv_transfer_params of each request, and of its answer; salts: cache_salt of each; sampling: other parameters."""
    sampling = [sampling_of(max_tokens, given, **sampling) for given in transfer or [None] * len(prompts)]
    given = [{"prompt_token_ids": prompt, **({"cache_salt": salts[index]} if salts else {})}
             for index, prompt in enumerate(prompts)]
    started = time.perf_counter()
    outputs = llm.generate(given, sampling, use_tqdm=False)
    seconds = time.perf_counter() - started
    return [{"seconds": seconds, "tokens": list(output.outputs[0].token_ids), "cached_tokens": output.num_cached_tokens,
             "finish_reason": output.outputs[0].finish_reason, "transfer": output.kv_transfer_params}
            for output in outputs]


def scheduler_of(llm):
    """Of an engine in this process."""
    return llm.llm_engine.engine_core.engine_core.scheduler


def abandon(llm, prompts, transfer):
    """Requests that are ended while they wait for what they load."""
    names = [f"abandoned-{index}" for index in range(len(prompts))]
    for name, prompt, given in zip(names, prompts, transfer):
        llm.llm_engine.add_request(name, {"prompt_token_ids": prompt}, sampling_of(1, given))
    requests = scheduler_of(llm).requests
    deadline = time.monotonic() + 60
    while sum(request.status == RequestStatus.WAITING_FOR_REMOTE_KVS for request in requests.values()) < len(names):
        assert time.monotonic() < deadline
        llm.llm_engine.step()
    llm.llm_engine.abort_request(names)


def reset(llm, is_of_connector):
    return llm.reset_prefix_cache(reset_connector=is_of_connector)


def metrics(llm):
    """Of the connector, by name; failures by step and reason."""
    found = {}
    for sample in (sample for family in REGISTRY.collect() for sample in family.samples):
        if sample.name.startswith(("vllm:chunkkv", "vllm:num_preemptions")) and sample.name.endswith("_total"):
            own = [sample.labels[name] for name in ("step", "reason") if name in sample.labels]
            found[":".join([sample.name.removeprefix("vllm:").removesuffix("_total"), *own])] = sample.value
    return found


class BlockWatch:
    """How many blocks of the cache requests had at most, since it was asked last."""

    def __init__(self, llm):
        scheduler = scheduler_of(llm)
        self._pool, self._schedule, self._most = scheduler.kv_cache_manager.block_pool, scheduler.schedule, 0
        self._free = self._pool.get_num_free_blocks()
        scheduler.schedule = self._watched

    def take(self, llm):
        most, self._most = self._most, 0
        return most

    def _watched(self, *arguments, **named):
        output = self._schedule(*arguments, **named)
        self._most = max(self._most, self._free - self._pool.get_num_free_blocks())
        return output


def main():
    answers = os.fdopen(3, "w", buffering=1)
    settings = json.loads(sys.argv[1])
    llm = LLM(**settings)
    json.dump("ready", answers)
    answers.write("\n")
    calls = {"generate": generate, "abandon": abandon, "metrics": metrics, "reset": reset}
    if os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0":
        calls["blocks"] = BlockWatch(llm).take
    for line in sys.stdin:
        name, arguments = json.loads(line)
        json.dump(calls[name](llm, **arguments), answers)
        answers.write("\n")


if __name__ == "__main__":
    main()
