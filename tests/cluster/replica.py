"""A server of a cluster: on a host of its own, at the same address whenever it runs."""

import subprocess
import time

PORT = 7421


class Replica:
    def __init__(self, network, host, program, folder):
        self._network, self._host, self._program, self._folder = network, host, program, folder
        self.name = f"{network.add_host(host)}:{PORT}"
        self._process = None

    def start(self):
        port_file = self._folder / f"{self._host}.port"
        port_file.unlink(missing_ok=True)
        # An open listener off loopback, in a network that nobody else is in.
        command = self._network.command(self._host, self._program, "--listen", self.name, "--port-file", port_file,
                                        "--insecure-listen")
        with open(self._folder / f"{self._host}.log", "ab") as log:
            self._process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + 20
        while not (port_file.exists() and port_file.read_text().strip()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / f"{self._host}.log").read_text()[-2000:])
            time.sleep(0.01)

    def stop(self):
        """Drains; must end well."""
        self._process.terminate()
        assert self._process.wait(30) == 0
        self._process = None

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self):
        if self._process is not None:
            self.kill()
