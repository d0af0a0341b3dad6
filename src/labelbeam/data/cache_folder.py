"""Where labelbeam keeps what it can always make again: features, downloaded weights, drawn pictures."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return $LABELBEAM_CACHE, else `labelbeam` in $XDG_CACHE_HOME or ~/.cache; it need not exist."""
    if named := os.environ.get("LABELBEAM_CACHE"):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labelbeam"
