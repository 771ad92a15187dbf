"""The client's side of the local socket, against what a server should never say."""

import contextlib
import fcntl
import os
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

import chunkkv
import pytest
from chunkkv._get import GetReader
from chunkkv._local_socket import LocalSocket
from chunkkv._mapped_get import header_over_local_socket
from chunkkv._requests import get_call
from chunkkv._shared_memory import map_entry
from chunkkv.v1 import get_pb2, identity_pb2

TOKEN = bytes(range(32))


def message(kind, token=TOKEN, magic=b"CKV1"):
    return struct.pack("<4sI32s", magic, kind, token)


@pytest.fixture
def answering():
    """Connects to a server that gives these answers, (bytes, descriptors), each to one message, and closes then."""
    with tempfile.TemporaryDirectory() as folder:
        path, threads, received = str(Path(folder) / "local"), [], []
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(path)
        listener.listen()

        def serve(answers):
            connection, _ = listener.accept()
            with connection:
                for data, descriptors in answers:
                    received.append(connection.recv(1000))
                    socket.send_fds(connection, [data], descriptors)
                received.append(connection.recv(100))

        def connect(*answers):
            threads.append(threading.Thread(target=serve, args=(answers,)))
            threads[-1].start()
            connections.append(LocalSocket(path))
            return connections[-1], received

        connections = []
        yield connect
        for connection in connections:
            connection.close()
        for thread in threads:
            thread.join()
        listener.close()


def descriptors_of(name):
    """How many of this process's descriptors are of the memfd."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sum(link.startswith(f"/memfd:{name} ") for link in links)


def sealed_memory(content, seals=fcntl.F_SEAL_SHRINK, name="test"):
    descriptor = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


@pytest.mark.parametrize("answer,kind,reason", [
    (message(255, b"TOO_MANY_OFFERS".ljust(32, b"\0")), chunkkv.ResourceExhausted, "TOO_MANY_OFFERS"),
    (message(255, b"TOKEN_NOT_FOUND".ljust(32, b"\0")), chunkkv.NotFound, "TOKEN_NOT_FOUND"),
    (message(255, b"PEER_NOT_ALLOWED".ljust(32, b"\0")), chunkkv.PermissionDenied, "PEER_NOT_ALLOWED"),
    (message(255, b"SOMETHING_NEW".ljust(32, b"\0")), chunkkv.Error, "SOMETHING_NEW"),
    (message(1), chunkkv.DataLoss, "MALFORMED_REPLY"), (message(2), chunkkv.DataLoss, "MALFORMED_REPLY"),
    (message(2)[:39], chunkkv.Unavailable, "LOCAL_SOCKET"),
    (message(2, magic=b"CKV2"), chunkkv.Unavailable, "LOCAL_SOCKET")])
def test_wrong_answers(answering, answer, kind, reason):
    local, received = answering((answer, []))
    with pytest.raises(kind) as caught:
        local.fetch(TOKEN)
    assert caught.value.reason == reason and received[0] == message(2)


def test_descriptors_of_wrong_answers_are_closed(answering):
    descriptor = sealed_memory(b"", name="wrong answer")
    local, _ = answering((message(7), [descriptor]), (message(255, bytes(32)), [descriptor]))
    for _ in range(2):
        with pytest.raises(chunkkv.Error):
            local.fetch(TOKEN)
    assert descriptors_of("wrong answer") == 1
    os.close(descriptor)


def test_a_server_that_does_not_answer_is_given_up_in_time(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "local"))
        listener.listen()
        local, others = LocalSocket(str(tmp_path / "local")), LocalSocket(str(tmp_path / "local"))
        began = time.monotonic()
        with pytest.raises(chunkkv.Unavailable, match="LOCAL_SOCKET"):
            local.get(b"request", 0.01)
        with others._lock, pytest.raises(chunkkv.Unavailable, match="in use"):
            others.fetch(TOKEN, 0.01)
        assert time.monotonic() - began < 10  # of 60
        assert not local.is_open and others.is_open
        others.close()


def test_a_connection_that_the_server_closed_is_not_open(answering):
    local, received = answering((message(1), []))
    assert local.is_open
    assert local.offer(0) == TOKEN and received[0] == message(1, bytes(32))
    local.release(TOKEN)
    with pytest.raises(chunkkv.Unavailable, match="LOCAL_SOCKET"):
        local.fetch(TOKEN)
    assert received[1] == message(3) and not local.is_open
    local.release(TOKEN)  # nothing to say it to


@pytest.mark.parametrize("path,kind,reason", [
    ("", chunkkv.FailedPrecondition, "REGIONS_DISABLED"), ("/nowhere/local", chunkkv.Unavailable, "LOCAL_SOCKET"),
    ("/" + "x" * 200, chunkkv.Unavailable, "LOCAL_SOCKET")])
def test_where_there_is_no_socket(path, kind, reason):
    with pytest.raises(kind, match=reason):
        LocalSocket(path)


def test_a_mapping_is_released_with_its_last_array(answering):
    descriptor = sealed_memory(b"0123456789")
    local, received = answering((message(2), [descriptor]))
    memory = map_entry(local, TOKEN, local.fetch(TOKEN), 10)
    part = memory[3:5]
    os.close(descriptor)
    del memory
    assert part.tobytes() == b"34" and len(received) == 1
    del part
    local.close()


@pytest.mark.parametrize("size,seals", [(11, fcntl.F_SEAL_SHRINK), (10, fcntl.F_SEAL_GROW)], ids=["short", "unsealed"])
def test_memory_that_could_go_away_is_not_mapped(answering, size, seals):
    descriptor = sealed_memory(b"0123456789", seals, "not mapped")
    local, _ = answering((message(2), [descriptor]))
    with pytest.raises(chunkkv.DataLoss, match="MALFORMED_REPLY"):
        map_entry(local, TOKEN, local.fetch(TOKEN), size)
    assert descriptors_of("not mapped") == 1
    os.close(descriptor)


def test_a_header_that_is_none_gives_its_descriptor_back(answering):
    descriptor = sealed_memory(b"", name="no header")
    local, received = answering((message(4) + b"\xff", [descriptor]))
    call = get_call(model=bytes(32), key=bytes(32), mapped=True)
    with pytest.raises(chunkkv.DataLoss, match="MALFORMED_REPLY"):
        header_over_local_socket(local, call, GetReader(call.expected, is_mapped=True), None)
    assert descriptors_of("no header") == 1
    os.close(descriptor)
    local.close()


@pytest.mark.parametrize("reason", [b"NOTHING_MAPPED", b"ENTRY_NOT_FOUND", b"USE_GRPC"])
def test_after_any_error_grpc_is_asked(answering, reason):
    local, received = answering((message(255, reason.ljust(32, b"\0")), []))
    call = get_call(model=bytes(32), key=bytes(32), mapped=True)
    assert header_over_local_socket(local, call, GetReader(call.expected, is_mapped=True), None) is None
    request = get_pb2.GetCacheRequest.FromString(received[0][40:])
    assert received[0][:40] == message(4, bytes(32))
    assert request.target.map and request.prompt == identity_pb2.PromptKey(key=bytes(32))
    for slower in ({"wait_seconds": 1}, {"lease_id": b"l" * 16}):
        call = get_call(model=bytes(32), key=bytes(32), mapped=True, **slower)
        assert header_over_local_socket(local, call, GetReader(call.expected, is_mapped=True), None) is None
    assert len(received) == 1
    local.close()


def test_a_forked_child_releases_nothing(answering):
    local, received = answering()
    child = os.fork()
    if child == 0:
        local.release(TOKEN)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    local.release(bytes(32))
    local.close()
