"""Fixtures that verbs and joints share (importlib mode adds no folder)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tiny_runs import (  # noqa: F401
    _cache,
    command,
    copied,
    drawn,
    encoder_file,
    finished,
    own_cache,
    train,
)
