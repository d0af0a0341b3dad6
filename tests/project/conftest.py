"""Fixtures that the tests of projects share with those of verbs (importlib mode adds no folder)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from tiny_runs import _cache, command, drawn, encoder_file, own_cache  # noqa: F401
