"""The example of prefill and decode apart, as its script starts it, asked by OpenAI's own client."""
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import openai
import pytest
from engine import environment
from models import SHIPPED
from programs import ROOT, answers, find_program

sys.path[:0] = [str(ROOT / "tests/quality/model")]
import vocabulary  # noqa: E402
from prompts import ANSWER_LENGTH, make_prompt  # noqa: E402

EXAMPLE = ROOT / "client/python/examples/disaggregated"
LENGTH = 1014
TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
COMPACT = {"chunkkv": {"keep_ratio": 0.3, "chunks": "sentences", "window_length": 8}}
PROMPTS = [make_prompt(LENGTH, seed, depth=0.5) for seed in range(6)]


def text_of(prompt):
    return " ".join(prompt.words[1:])  # the tokenizer adds the first


def ports_in_a_row(count):
    """The first of `count` ports, one after the other, that nobody has."""
    while True:
        probes = [socket.socket()]
        try:
            probes[0].bind(("127.0.0.1", 0))
            first = probes[0].getsockname()[1]
            for port in range(first + 1, first + count):
                probes.append(socket.socket())
                probes[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()


class Example:
    """The processes that run.sh has started."""

    def __init__(self, folder):
        self.port = ports_in_a_row(4)
        template = folder / "template.jinja"
        template.write_text(TEMPLATE)
        with open(folder / "log", "w") as log:
            self._script = subprocess.Popen(
                [EXAMPLE / "run.sh", SHIPPED, str(self.port), "--enforce-eager", "--dtype", "float32", "--block-size", "32",
                 "--max-num-batched-tokens", "512", "--chat-template", template, "--served-model-name", "shipped"],
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**environment(), "CHUNKKV_SERVER": str(find_program("CHUNKKV_SERVER", "service/chunkkv-server")),
                     "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
        deadline = time.monotonic() + 600
        while not all(answers(f"http://127.0.0.1:{self.port + offset}/health") for offset in range(3)):
            assert self._script.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-4000:]
            time.sleep(0.2)
        self.client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none", max_retries=0)

    def kill(self, offset):
        """The process that listens on the script's port + offset."""
        listing = subprocess.run(["ss", "-ltnpH", f"sport = :{self.port + offset}"], capture_output=True, text=True).stdout
        os.kill(int(listing.split("pid=")[1].split(",")[0]), signal.SIGKILL)

    def close(self):
        os.killpg(self._script.pid, signal.SIGTERM)
        try:
            self._script.wait(timeout=30)
        finally:
            try:
                os.killpg(self._script.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    started = Example(tmp_path_factory.mktemp("example"))
    yield started
    started.close()


def complete(example, prompt, **more):
    return example.client.completions.create(model="shipped", prompt=text_of(prompt), max_tokens=ANSWER_LENGTH,
                                             temperature=0, **more)


def chat(example, prompt, **more):
    return example.client.chat.completions.create(
        model="shipped", messages=[{"role": "user", "content": text_of(prompt)}], max_tokens=ANSWER_LENGTH, temperature=0,
        **more)


@pytest.fixture
def taken(example):
    """Tokens that the decode side takes from the service until it is asked."""
    before = published(example.port + 2, "hit_tokens")
    return lambda: published(example.port + 2, "hit_tokens") - before


ROWS = -(-round(COMPACT["chunkkv"]["keep_ratio"] * LENGTH) // 32) * 32
WHOLE = LENGTH // 32 * 32


def wanted(prompt):
    return " ".join(vocabulary.WORDS[token] for token in prompt.answer)


@pytest.mark.parametrize("extra", [None, COMPACT], ids=["whole", "compacted"])
def test_answers_and_usage_are_those_of_the_prompt(example, taken, extra):
    exact = 0
    for prompt in PROMPTS:
        reply = complete(example, prompt, extra_body=extra)
        exact += reply.choices[0].text.split() == wanted(prompt).split()
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (LENGTH, ANSWER_LENGTH)
        assert reply.usage.total_tokens == LENGTH + ANSWER_LENGTH
    assert exact >= (len(PROMPTS) if extra is None else len(PROMPTS) - 1)
    assert taken() == len(PROMPTS) * (WHOLE if extra is None else ROWS - 1)


@pytest.mark.parametrize("extra", [None, COMPACT], ids=["whole", "compacted"])
def test_streams(example, taken, extra):
    parts = list(complete(example, PROMPTS[0], stream=True, stream_options={"include_usage": True}, extra_body=extra))
    assert "".join(choice.text for part in parts for choice in part.choices).split() == wanted(PROMPTS[0]).split()
    assert parts[-1].usage.prompt_tokens == LENGTH and len(parts) > ANSWER_LENGTH // 2
    assert extra is None or taken() == ROWS - 1


@pytest.mark.parametrize("extra", [None, COMPACT], ids=["whole", "compacted"])
@pytest.mark.parametrize("stream", [False, True])
def test_chats(example, taken, extra, stream):
    reply = chat(example, PROMPTS[1], stream=stream, extra_body=extra)
    if stream:
        parts = list(reply)
        assert parts[0].object == "chat.completion.chunk" and parts[0].choices[0].delta.role == "assistant"
        text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    else:
        assert reply.object == "chat.completion" and reply.usage.prompt_tokens == LENGTH
        text = reply.choices[0].message.content
    assert text.split() == wanted(PROMPTS[1]).split()
    assert extra is None or taken() == ROWS - 1


def test_logprobs_are_those_of_the_answer(example, taken):
    reply = complete(example, PROMPTS[2], logprobs=2, extra_body=COMPACT)
    assert len(reply.choices[0].logprobs.token_logprobs) == ANSWER_LENGTH
    reply = chat(example, PROMPTS[2], logprobs=True, top_logprobs=2, extra_body=COMPACT)
    assert [len(token.top_logprobs) for token in reply.choices[0].logprobs.content] == [2] * ANSWER_LENGTH
    assert taken() == 2 * (ROWS - 1)


def test_salted_prompts_are_handed_over(example, taken):
    for extra in ({}, COMPACT):
        reply = complete(example, PROMPTS[4], extra_body={"cache_salt": "of a tenant", **extra})
        assert reply.choices[0].text.split() == wanted(PROMPTS[4]).split()
    assert taken() == WHOLE + ROWS - 1


def test_the_engines_publish_the_connectors_numbers(example):
    for seed in (50, 51):  # numbers come with the next step
        complete(example, make_prompt(LENGTH, seed, depth=0.5))
    saved, hit = (published(example.port + offset, name) for offset, name in ((1, "saved_tokens"), (2, "hit_tokens")))
    assert saved > 0 and hit > 0
    assert published(example.port + 2, "loads") > 0 and published(example.port + 2, "load_seconds") > 0


def published(port, name):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    (value,) = re.findall(rf"^vllm:chunkkv_{name}_total{{.*}} (\S+)$", text, re.MULTILINE)
    return float(value)


@pytest.mark.parametrize("wrong", [{"echo": True}, {"prompt_logprobs": 1}])
def test_what_needs_the_whole_prompt_is_refused(example, wrong):
    with pytest.raises(openai.BadRequestError):
        complete(example, PROMPTS[0], extra_body=COMPACT | wrong)


def test_what_a_prefill_does_not_understand_is_computed(example):
    reply = complete(example, PROMPTS[3], extra_body={"chunkkv": {"keep_ratio": "some"}})
    assert reply.choices[0].text.split() == wanted(PROMPTS[3]).split() and reply.usage.prompt_tokens == LENGTH


def test_the_decode_side_computes_when_the_rest_is_gone(example):
    """The service first, then the prefill side: the last test, for both are gone then."""
    for offset in (3, 1):
        example.kill(offset)
        for extra in (None, COMPACT):
            prompt = make_prompt(LENGTH, 100 + offset, depth=0.5)
            started = time.monotonic()
            reply = complete(example, prompt, extra_body=extra)
            assert reply.choices[0].text.split() == wanted(prompt).split()
            assert time.monotonic() - started < 45
