"""HTTP/2 frames, as bytes: what a peer that means harm would send."""

import gzip
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x9
END_STREAM, END_HEADERS = 0x1, 0x4
CANCEL = 8


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def opening() -> bytes:
    return PREFACE + frame(SETTINGS, 0, 0, b"")


def _literal(name: bytes, value: bytes) -> bytes:
    """A field that no table keeps (RFC 7541, 6.2.2), shorter than 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call_headers(path: bytes, encoding: bytes = b"identity") -> bytes:
    """The header block of a gRPC call."""
    return (b"\x83\x86" + _literal(b":path", path) + _literal(b":authority", b"localhost") +
            _literal(b"content-type", b"application/grpc") + _literal(b"te", b"trailers") +
            _literal(b"grpc-encoding", encoding))


def reset_streams(first: int, count: int, block: bytes) -> bytes:
    """Calls that are cancelled as soon as they are made."""
    cancel = struct.pack(">I", CANCEL)
    return b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, block) + frame(RST_STREAM, 0, stream, cancel)
                    for stream in range(first, first + 2 * count, 2))


def endless_headers(stream: int, block: bytes) -> bytes:
    """The beginning of a header block that `more_headers` continue for ever."""
    return frame(HEADERS, 0, stream, block)


def more_headers(stream: int) -> bytes:
    return frame(CONTINUATION, 0, stream, _literal(b"x-more", b"y" * 100) * 100)


def pings(count: int) -> bytes:
    return frame(PING, 0, 0, bytes(8)) * count


def bomb_call(stream: int, path: bytes) -> bytes:
    """A call whose message is 64 MiB of zeros, compressed a thousandfold."""
    message = gzip.compress(bytes(64 << 20), 9)
    body = b"\x01" + struct.pack(">I", len(message)) + message
    frames = [frame(HEADERS, END_HEADERS, stream, call_headers(path, b"gzip"))]
    for begin in range(0, len(body), 16_000):
        is_last = begin + 16_000 >= len(body)
        frames.append(frame(DATA, END_STREAM if is_last else 0, stream, body[begin:begin + 16_000]))
    return b"".join(frames)
