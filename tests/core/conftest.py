"""Lets the tests of the core import their helpers, `core_world` and `core_histories`, by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
