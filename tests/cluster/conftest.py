"""A cluster in a network of its own: replicas behind one name, and two clients."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import network  # noqa: E402
import programs  # noqa: E402
from replica import PORT, Replica  # noqa: E402

NAME = "chunkkv-headless"
RESOLVE_EVERY = 0.2


class Client:
    """A client's process on a host, and what its name resolves to."""

    def __init__(self, net, host):
        net.add_host(host)
        self._hosts = Path("/etc/netns") / net.name_of(host) / "hosts"  # its /etc/hosts, by `ip netns exec`
        self._hosts.parent.mkdir(parents=True)
        self._hosts.touch()
        self._command = net.command(host, sys.executable, HERE / "worker.py", f"dns:///{NAME}:{PORT}", RESOLVE_EVERY)
        self._process = None

    def set_addresses(self, replicas):
        self._hosts.write_text("127.0.0.1 localhost\n" + "".join(
            f"{replica.name.rpartition(':')[0]} {NAME}\n" for replica in replicas))

    def start(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                         env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "client/python")})

    def begin(self, do, seeds=()):
        self._process.stdin.write(json.dumps({"do": do, "seeds": list(seeds)}) + "\n")
        self._process.stdin.flush()

    def end(self):
        line = self._process.stdout.readline()
        assert line, "the client has died"
        return json.loads(line)

    def __call__(self, do, seeds=()):
        self.begin(do, seeds)
        return self.end()

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._hosts.parent)


class Cluster:
    def __init__(self, net, folder):
        program = programs.find_program("CHUNKKV_SERVER", "service/chunkkv-server")
        self.network = net
        self.clients = [Client(net, f"client{index}") for index in range(2)]
        self.replicas = [Replica(net, f"replica{index}", program, folder) for index in range(3)]

    def start(self, replica_count):
        for replica in self.replicas[:replica_count]:
            replica.start()
        self.announce(replica_count)
        for client in self.clients:
            client.start()

    def announce(self, replica_count):
        """What the name resolves to: the first so many."""
        for client in self.clients:
            client.set_addresses(self.replicas[:replica_count])

    def __call__(self, do, seeds=()):
        """Asks both clients at once; their answers."""
        for client in self.clients:
            client.begin(do, seeds)
        return [client.end() for client in self.clients]

    def close(self):
        for member in (*self.clients, *self.replicas):
            member.close()


@pytest.fixture
def cluster(tmp_path):
    reason = network.why_not()
    if reason:
        pytest.skip(reason)
    with network.Network(f"ckv{os.getpid()}") as net:
        cluster = Cluster(net, tmp_path)
        try:
            yield cluster
        finally:
            cluster.close()
