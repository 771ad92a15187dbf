"""The oracle and its scripts are modules beside one another: lets the tests import them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
