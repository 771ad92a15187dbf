"""The model's files are scripts beside one another: lets its tests import them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
