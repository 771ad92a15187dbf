"""Arguments of `chunkkv compact` as tests/golden names them."""
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def flags(arguments: dict) -> list[str]:
    """Command line flags for arguments named as in tests/golden."""
    given = []
    for name, value in arguments.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        given += ["--" + name.replace("_", "-"), text]
    return given
