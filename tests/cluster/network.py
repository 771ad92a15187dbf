"""A network on one machine: a bridge, and hosts that are network namespaces with an address each."""

import contextlib
import os
import subprocess


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def why_not():
    """Why network namespaces cannot be made here; None where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        ip("netns", "add", "ckv-probe")
        ip("netns", "delete", "ckv-probe")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces here: {getattr(error, 'stderr', '') or error}"
    return None


class Network:
    """Hosts in 10.77.0.0/24 of the network's own. Names begin with a tag, so that networks do not meet."""

    def __init__(self, tag):
        self._tag, self._stack, self._count = tag, contextlib.ExitStack(), 0

    def __enter__(self):
        with self._stack:  # undone here only where it fails
            self._namespace("switch")
            self.run("switch", "ip", "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
            self.run("switch", "ip", "link", "set", "bridge", "up")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def name_of(self, host):
        """Of its namespace."""
        return f"{self._tag}-{host}"

    def _namespace(self, host):
        name = self.name_of(host)
        ip("netns", "add", name)
        self._stack.callback(ip, "netns", "delete", name)
        ip("-n", name, "link", "set", "lo", "up")

    def command(self, host, *arguments):
        """A command line that runs on a host."""
        return ["ip", "netns", "exec", self.name_of(host), *map(str, arguments)]

    def run(self, host, *arguments):
        subprocess.run(self.command(host, *arguments), check=True, capture_output=True)

    def add_host(self, host):
        """Its address."""
        self._count += 1
        address, port = f"10.77.0.{self._count}", f"port{self._count}"
        self._namespace(host)
        ip("link", "add", "eth0", "netns", self.name_of(host), "type", "veth", "peer", "name", port, "netns",
           self.name_of("switch"))
        self.run("switch", "ip", "link", "set", port, "master", "bridge", "up")
        self.run(host, "ip", "address", "add", f"{address}/24", "dev", "eth0")
        self.run(host, "ip", "link", "set", "eth0", "up")
        return address

    def set_link(self, host, state):
        """Plugs a host's cable in or out."""
        self.run(host, "ip", "link", "set", "eth0", state)
