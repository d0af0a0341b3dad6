"""Lets the tests of this folder import `enumeration`, their slow twin (importlib mode adds no folder)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
