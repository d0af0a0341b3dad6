"""Lets the tests of this folder import what they share, here and one folder up (importlib mode adds no folder)."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
