"""The server program as an operator meets it: certificates, tenants, options, the admin port, the log."""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "support"), str(ROOT / "client" / "python" / "tests")]
