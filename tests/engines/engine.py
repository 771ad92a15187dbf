"""vLLM engines in processes of their own."""
import json
import os
import subprocess
import sys
from pathlib import Path

MAIN = Path(__file__).with_name("engine_main.py")


def environment(rank_count=1):
    """Of a vLLM whose ranks share the machine's CPUs."""
    each = max(1, os.cpu_count() // rank_count)
    firsts = [rank * each % os.cpu_count() for rank in range(rank_count)]
    return {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "WARNING",
            "VLLM_CPU_OMP_THREADS_BIND": "|".join(f"{first}-{first + each - 1}" for first in firsts),
            "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


class Engine:
    """A real vLLM. settings: arguments of vllm.LLM. address: of a service that it offloads to; None: none. is_apart: its
    core is a process of its own, as in a server."""

    def __init__(self, model, log, address=None, role="kv_both", connector=(), is_apart=False, **settings):
        settings = {"model": str(model), "enforce_eager": True, "block_size": 32, "seed": 0, "skip_tokenizer_init": True,
                    "disable_log_stats": False, **settings}
        if address is not None:
            settings["kv_transfer_config"] = {
                "kv_connector": "ChunkKVConnector", "kv_connector_module_path": "chunkkv.vllm", "kv_role": role,
                "kv_connector_extra_config": {"address": address, **dict(connector)}}
        variables = environment(settings.get("tensor_parallel_size", 1))
        reader, writer = os.pipe()
        self._log = Path(log)
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3>&{writer} {writer}>&-', "-", sys.executable, MAIN, json.dumps(settings)],
                stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, pass_fds=(writer,), text=True,
                env={**variables, "VLLM_ENABLE_V1_MULTIPROCESSING": str(int(is_apart))})
        os.close(writer)
        self._answers = os.fdopen(reader)
        self._read()

    def generate(self, prompts, max_tokens=8, transfer=None, salts=None, **sampling):
        return self._call("generate", prompts=prompts, max_tokens=max_tokens, transfer=transfer, salts=salts, **sampling)

    def abandon(self, prompts, transfer):
        self._call("abandon", prompts=prompts, transfer=transfer)

    def metrics(self):
        return self._call("metrics")

    def blocks(self):
        """How many blocks of its cache requests had at once at most, since it was asked last."""
        return self._call("blocks")

    def forget(self, is_of_connector=False):
        """Empties the engine's own prefix cache, and has the connector reset."""
        assert self._call("reset", is_of_connector=is_of_connector)

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        finally:
            self._process.kill()
            self._answers.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _call(self, name, **arguments):
        print(json.dumps([name, arguments]), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self):
        line = self._answers.readline()
        assert line, f"the engine ended:\n{self._log.read_text()[-4000:]}"
        return json.loads(line)
