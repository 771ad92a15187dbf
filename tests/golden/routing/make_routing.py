"""Writes routing.json: who owns a routing key, by the page "Replicas" of proto/chunkkv/v1/README.md alone.

    python tests/golden/routing/make_routing.py [--check]
"""

import hashlib
import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPLICAS = [
    ["10.0.0.1:7421"],
    ["10.0.0.1:7421", "10.0.0.2:7421"],
    ["10.0.0.1:7421", "10.0.0.2:7421", "10.0.0.3:7421"],
    [f"kv-{index}.kv.svc:7421" for index in range(8)],
    ["[fd00::1]:7421", "[fd00::2]:7421", "127.0.0.1:80", "größe.example:1"],
]


def block_digest(tokens):
    return hashlib.sha256(b"".join(struct.pack("<I", token) for token in tokens[:64])).digest()


KEYS = [b"", b"tenant/conversation 7", bytes(32), bytes([255]) * 32, "schlüssel".encode(), block_digest([0]),
        block_digest(list(range(64))), block_digest(list(range(1000))), block_digest([2**32 - 1] * 63)]


def order(names, key):
    scores = {}
    for name in names:
        text = hashlib.sha256()
        text.update(name.encode("utf-8"))
        text.update(bytes([0]))
        text.update(key)
        (scores[name],) = struct.unpack(">Q", text.digest()[:8])
    falling = sorted(names, key=lambda name: (2**64 - scores[name], name.encode()))
    return [[name, f"{scores[name]:016x}"] for name in falling]


def document():
    return {
        "orders": [{"replicas": names, "routing_key": key.hex(), "order": order(names, key)}
                   for names in REPLICAS for key in KEYS],
        "prompts": [{"tokens": tokens, "routing_key": block_digest(tokens).hex()}
                    for tokens in ([0], list(range(64)), list(range(65)), list(range(130)), [2**32 - 1] * 63)],
    }


if __name__ == "__main__":
    text = json.dumps(document(), indent=1, ensure_ascii=False) + "\n"
    path = HERE / "routing.json"
    if "--check" in sys.argv[1:]:
        sys.exit(path.read_text(encoding="utf-8") != text)
    path.write_text(text, encoding="utf-8")
