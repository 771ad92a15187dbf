"""Three replicas and two clients, each a host with an address of its own: restarts, losses, growth."""

import time

SEEDS = range(60)
NEW = range(1000, 1020)


def assert_right(answers):
    """Nobody saw a wrong byte or a failure."""
    for answer in answers:
        assert not answer.get("wrong") and not answer["failed"], answer


def report(title, rows):
    print(f"\n{title}")
    for what, answers in rows:
        counts = [{name: len(found) for name, found in answer.items()} for answer in answers]
        print(f"  {what:<34}", "   ".join(" ".join(f"{name} {count}" for name, count in row.items()) for row in counts))


def owned(cluster, seeds):
    """Seeds by the name of their owner; both clients agree."""
    first, second = cluster("owners", seeds)
    assert first == second
    found = {}
    for seed, name in first.items():
        found.setdefault(name, []).append(int(seed))
    return found


def put_all(cluster, seeds):
    """Half by each client."""
    cluster.clients[0].begin("put", list(seeds)[::2])
    cluster.clients[1].begin("put", list(seeds)[1::2])
    answers = [client.end() for client in cluster.clients]
    assert_right(answers)
    return answers


def misses(answer):
    return sorted(answer["missed"])


def eventually(is_so, seconds=15):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def put_at(cluster, seeds, replica):
    """Until both clients have found their way to it."""
    def is_there():
        put_all(cluster, seeds)
        return cluster.clients[0]("counts").get(replica.name) == len(seeds)

    eventually(is_there)


def test_a_rolling_restart_loses_what_each_replica_held(cluster):
    cluster.start(3)
    rows, before = [("put", put_all(cluster, SEEDS))], owned(cluster, SEEDS)
    assert len(before) == 3
    for replica in cluster.replicas:
        held = before[replica.name]
        replica.stop()
        down = cluster("get", SEEDS)
        assert_right(down)
        assert all(misses(answer) == sorted(held) for answer in down)
        put_all(cluster, held)
        up_meanwhile = cluster("get", held)
        assert_right(up_meanwhile)
        assert all(not answer["missed"] for answer in up_meanwhile)
        replica.start()
        put_at(cluster, held, replica)
        again = cluster("get", SEEDS)
        assert_right(again)
        rows += [(f"{replica.name} down: get", down), ("put again, back: get", again)]
        assert all(not answer["missed"] for answer in again)
    report("rolling restart", rows)


def lose(cluster, how):
    cluster.start(3)
    rows, before = [("put", put_all(cluster, SEEDS))], owned(cluster, SEEDS)
    lost = cluster.replicas[1]
    held = before[lost.name]
    new_of_lost = owned(cluster, NEW).get(lost.name, [])
    assert held and new_of_lost
    how(lost)
    during = put_all(cluster, NEW)
    answers = cluster("get", SEEDS)
    assert_right(answers)
    assert all(misses(answer) == sorted(held) for answer in answers)
    landed = cluster("get", NEW)
    assert_right(landed)
    assert all(not answer["missed"] for answer in landed)
    return [*rows, ("put during the loss", during), ("get all", answers), ("get what was put", landed)]


def test_a_killed_replica(cluster):
    report("kill -9", lose(cluster, lambda replica: replica.kill()))


def test_a_replica_whose_link_is_down(cluster):
    report("link down", lose(cluster, lambda replica: cluster.network.set_link("replica1", "down")))


def test_from_two_to_three(cluster):
    cluster.start(2)
    rows, before = [("put", put_all(cluster, SEEDS))], owned(cluster, SEEDS)
    cluster.replicas[2].start()
    cluster.announce(3)
    eventually(lambda: all(len(names) == 3 for names in cluster("replicas")))
    after = owned(cluster, SEEDS)
    moved = sorted(after[cluster.replicas[2].name])
    assert moved
    for name in before:
        assert set(after[name]) == set(before[name]) - set(moved)
    answers = cluster("get", SEEDS)
    assert_right(answers)
    assert all(misses(answer) == moved for answer in answers)
    put_all(cluster, moved)
    again = cluster("get", SEEDS)
    assert_right(again)
    assert all(not answer["missed"] for answer in again)
    report("from two to three", [*rows, ("get, one third moved", answers), ("put again: get", again)])
