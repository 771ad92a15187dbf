"""A service that fails as services do: killed, stopped, slowed, without memory, restarted empty, answering with errors."""
import contextlib
import random
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from programs import find_program, free_ports, without_own_variables


class Service:
    """A server process on one port, which may be started anew there."""

    def __init__(self, folder, *options):
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self._folder, self._options, self._process = folder, options, None
        self.start()

    def start(self):
        with open(self._folder / "service.log", "ab") as log:
            self._process = subprocess.Popen(
                [find_program("CHUNKKV_SERVER", "service/chunkkv-server"), "--listen", self.address, *self._options],
                stderr=log, env=without_own_variables())

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def close(self):
        self.resume()
        self.kill()


class SlowRelay:
    """Hands bytes on to an address, at most `bytes_per_second` of each connection's each way."""

    def __init__(self, address, bytes_per_second):
        self._target, self._rate = address.rsplit(":", 1), bytes_per_second
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((self._target[0], int(self._target[1])))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _relay(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                time.sleep(len(data) / self._rate)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class ErrorRelay(grpc.GenericRpcHandler):
    """Hands calls on to an address, but answers some with an error: at once, or after a few of their responses."""

    CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]

    def __init__(self, address, share, seed):
        self._random, self._share = random.Random(seed), share
        self._channel = grpc.insecure_channel(address)
        self._server = grpc.server(ThreadPoolExecutor(32), handlers=[self])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self):
        self._server.stop(None)
        self._channel.close()

    def service(self, handler_call_details):
        call = self._channel.stream_stream(handler_call_details.method)

        def relay(requests, context):
            responses_left = self._random.choice((0, 1, 3)) if self._random.random() < self._share else None
            upstream = call(requests, timeout=context.time_remaining(), metadata=handler_call_details.invocation_metadata)
            context.add_callback(upstream.cancel)
            try:
                for response in upstream:
                    if responses_left == 0:
                        break
                    yield response
                    responses_left = None if responses_left is None else responses_left - 1
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata() or ())
                context.abort(error.code(), error.details())
            if responses_left is not None:
                upstream.cancel()
                context.abort(self._random.choice(self.CODES), "planted")

        return grpc.stream_stream_rpc_method_handler(relay)
