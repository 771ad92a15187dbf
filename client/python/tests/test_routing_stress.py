"""Many threads put and get while replicas are killed, drained, hidden and added."""

import random
import threading

import chunkkv
from local_server import eventually
from replica_cluster import NAME, check, prompt, put

CHANGES, SERVED_BETWEEN = 9, 20  # a slow machine serves as much between two changes as a fast one
THREADS, SEEDS = 8, 30
TIMEOUT = 10


def work(client, number, over, failures, served, lost):
    draw = random.Random(number)
    while not over.is_set():
        seed = draw.randrange(SEEDS)
        try:
            if draw.random() < 0.4:
                put(client, seed, timeout=TIMEOUT)
            else:
                check(client.get(**prompt(seed), timeout=TIMEOUT), seed)
                served.append(seed)
        except chunkkv.NotFound:
            pass
        except (chunkkv.Unavailable, chunkkv.DeadlineExceeded):
            lost.append(seed)
        except BaseException as error:
            failures.append(error)
            raise


def disturb(cluster, served, failures):
    """Always leaves one that runs and is in the name."""
    draw = random.Random(0)
    for change in range(CHANGES):
        enough = len(served) + SERVED_BETWEEN
        eventually(lambda: len(served) >= enough or failures, 6 * TIMEOUT)
        victim = draw.choice(cluster.addresses())
        if len(cluster.addresses()) < 3:
            cluster.start()
        cluster.hidden = victim if change % 3 == 2 else None
        if change % 3 != 2:
            (cluster.kill, cluster.stop)[change % 3](victim)


def test_no_wrong_byte_no_hang_and_few_calls_lost(cluster):
    failures, served, lost, over = [], [], [], threading.Event()
    timing = chunkkv.Timing(resolve_every=0.02, pass_over=0.02, longest_pass_over=0.2)
    with chunkkv.RoutedClient(NAME, resolve=cluster.resolve, timing=timing) as client:
        threads = [threading.Thread(target=work, args=(client, number, over, failures, served, lost), daemon=True)
                   for number in range(THREADS)]
        for thread in threads:
            thread.start()
        try:
            disturb(cluster, served, failures)
        finally:
            over.set()
            for thread in threads:
                thread.join(2 * TIMEOUT)
    assert not any(thread.is_alive() for thread in threads), "a call outlived its timeout"
    assert not failures
    assert len(lost) <= len(served) // 5  # calls that found each replica just as it ended
