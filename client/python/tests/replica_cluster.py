"""Servers behind a name that a test resolves, a clock that it moves, and what routed clients put there."""

import threading

import chunkkv
import programs
from chunkkv._rendezvous import routing_key_of
from local_server import eventually
from sample_caches import cache, model, same_bytes, tokens

LENGTH = 100
FULL = chunkkv.CompactionSpec(policy="full")
NAME = "dns:///kv.test:7421"


class Cluster:
    """Servers that come and go. hidden: left out of the name. While `gate` is shut the resolver hangs."""

    def __init__(self, folder):
        self._folder, self._processes = folder, {}
        self.now, self.resolutions, self.is_name_known, self.hidden = 100.0, 0, True, None
        self.gate, self.hanging = threading.Event(), threading.Event()
        self.gate.set()

    def start(self):
        folder = self._folder / str(len(list(self._folder.iterdir())))
        folder.mkdir()
        process, address = programs.start_server(folder)
        self._processes[address] = process
        return address

    def stop(self, address):
        process = self._processes.pop(address)
        process.terminate()
        assert process.wait(30) == 0

    def kill(self, address):
        process = self._processes.pop(address)
        process.kill()
        process.wait()

    def stop_all(self):
        self.gate.set()
        for address in list(self._processes):
            self.stop(address)

    def addresses(self):
        return sorted(set(self._processes) - {self.hidden})

    def resolve(self, name):
        assert name == "kv.test:7421"
        self.resolutions += 1
        if not self.gate.is_set():
            self.hanging.set()
            self.gate.wait(60)
            self.hanging.clear()
        if not self.is_name_known:
            raise OSError("no such name")
        return self.addresses()

    def hang(self, client):
        """Has the resolver hang in the client's background."""
        self.gate.clear()
        self.now += 60.0
        client.replicas()
        assert self.hanging.wait(20)

    def settle(self, client):
        """Until the client, which resolves in its background, has taken over what the name has now."""
        eventually(lambda: client.replicas() == self.addresses())

    @property
    def settings(self):
        return {"resolve": self.resolve, "clock": lambda: self.now, "random": lambda: 0.0}


def layers(seed=0):
    return [chunkkv.Layer(k=k, v=v) for k, v, _ in cache(LENGTH, seed=seed)]


def prompt(seed):
    return {"model": model("routed"), "tokens": tokens(LENGTH, seed)}


def key_of(seed):
    return routing_key_of(chunkkv.PromptKey.of_tokens(tokens(LENGTH, seed)))


def seeds_owned_by(client, name, count=1):
    return [seed for seed in range(200) if client.order(key_of(seed))[0] == name][:count]


def put(client, seed, **options):
    return client.put(**prompt(seed), layers=layers(seed), spec=FULL, **options)


def check(entry, seed):
    for layer, (k, v, _) in zip(entry.layers, cache(LENGTH, seed=seed), strict=True):
        assert same_bytes(layer.k, k) and same_bytes(layer.v, v)
