"""The service fails at random moments: the engine's tokens stay right, it never waits long, and it serves on."""
import random
import tempfile
import threading
import time
from collections import Counter

import pytest
from faulty_service import ErrorRelay, Service, SlowRelay
from models import SHIPPED, SHIPPED_VOCABULARY
from shared_prefixes import prompts

COUNT, BATCH = 200, 8
TIMEOUTS = {"lookup_timeout": 0.3, "load_timeout": 1.0, "save_timeout": 2.0}
SETTINGS = {"dtype": "float32", "max_model_len": 1100, "max_num_batched_tokens": 512, "max_num_seqs": 8}
ASKED = prompts(7, COUNT, 1000, SHIPPED_VOCABULARY)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Tokens of an engine alone, and its longest batch in seconds."""
    from engine import Engine

    with Engine(SHIPPED, tmp_path_factory.mktemp("alone") / "log", **SETTINGS) as engine:
        return ask(engine)


def ask(engine):
    tokens, longest = [], 0.0
    for begin in range(0, COUNT, BATCH):
        started = time.monotonic()
        tokens += [answer["tokens"] for answer in engine.generate(ASKED[begin:begin + BATCH])]
        longest = max(longest, time.monotonic() - started)
        engine.forget()
    return tokens, longest


def kill_and_start_empty(service, draw):
    service.kill()
    time.sleep(draw.uniform(0, 1))
    service.start()


def stop_and_resume(service, draw):
    service.stop()
    time.sleep(draw.uniform(0, 3))
    service.resume()


@pytest.fixture
def trouble():
    """Does something to the service again and again, at random moments between two times in seconds."""
    threads, over = [], threading.Event()

    def make(harm, service, between):
        draw = random.Random(11)

        def run():
            while not over.wait(draw.uniform(*between)):
                harm(service, draw)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield make
    over.set()
    for thread in threads:
        thread.join()


@pytest.fixture
def server(tmp_path, request):
    """param: options beside the defaults."""
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has less than 108 bytes
        options = [option.format(folder=folder) for option in getattr(request, "param", ("--host-memory", "1GiB"))]
        service = Service(tmp_path, *options)
        yield service
        service.close()


@pytest.fixture
def engine(start_engine, expected):
    """Asks an engine that offloads to an address, again until its counts tell that what the test means has happened: its
    tokens must be those of the engine alone. The counts."""
    def check(address, has_happened):
        engine = start_engine(SHIPPED, address=address, connector=TIMEOUTS, **SETTINGS)
        right, longest_alone = expected
        deadline = time.monotonic() + 240
        while True:
            tokens, longest = ask(engine)
            assert tokens == right
            # A request waits for its lookup and its load, and what could not be loaded is computed.
            assert longest < TIMEOUTS["lookup_timeout"] + TIMEOUTS["load_timeout"] + 3 * longest_alone + 1
            counts = Counter(engine.metrics())
            if has_happened(counts):
                return counts
            assert time.monotonic() < deadline, counts

    return check


def has_failed(counts, *steps):
    return any(name.startswith("chunkkv_failures:") and name.split(":")[1] in steps for name in counts)


def was_of_use(counts):
    return counts["chunkkv_saved_tokens"] > 0 and counts["chunkkv_loaded_tokens"] > 0


SENT = ("--host-memory", "1GiB")
SHARED = (*SENT, "--local-socket", "{folder}/local")
MAPPED = (*SHARED, "--map-entries")


@pytest.mark.parametrize("server", [SENT, SHARED, MAPPED], indirect=True, ids=["sent", "shared", "mapped"])
@pytest.mark.parametrize("harm,between", [(kill_and_start_empty, (1.5, 3.5)), (stop_and_resume, (0.1, 1.0))],
                         ids=["killed", "stopped"])
def test_killed_or_stopped(server, trouble, engine, harm, between):
    trouble(harm, server, between)
    engine(server.address, lambda counts: has_failed(counts, "load", "save") and was_of_use(counts))


def test_slow(server, engine):
    relay = SlowRelay(server.address, 1e6)
    engine(relay.address, lambda counts: counts["chunkkv_saved_tokens"] > 0)
    relay.close()


@pytest.mark.parametrize("server", [("--host-memory", "1MiB"), ("--host-memory", "1MiB", *SHARED[2:])], indirect=True,
                         ids=["sent", "shared"])
def test_out_of_memory(server, engine):
    engine(server.address, lambda counts: has_failed(counts, "save"))


def test_answering_with_errors(server, engine):
    relay = ErrorRelay(server.address, 0.3, 5)
    engine(relay.address, lambda counts: has_failed(counts, "lookup", "load", "save") and was_of_use(counts))
    relay.close()


def test_nobody_there(engine):
    counts = engine("127.0.0.1:9", lambda counts: counts["chunkkv_failures:lookup:PAUSED"] > 0)
    assert counts["chunkkv_hit_tokens"] == 0
