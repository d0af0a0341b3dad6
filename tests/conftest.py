"""Shape annotations are checked while tests run; real data is found or its tests skip with the reason."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Importing labelbeam under this hook makes every jaxtyping signature an assertion (beartype checks it).
install_import_hook("labelbeam", "beartype.beartype")

# The same examples each time, however busy the machine is; `--hypothesis-profile default` draws others.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no folder
sys.path += [str(Path(__file__).parent.parent / folder) for folder in ("research", "benchmarks")]

from tiny_runs import (  # noqa: E402, F401
    _cache,
    command,
    copied,
    drawn,
    encoder_file,
    finished,
    learned,
    own_cache,
    taught,
    train,
)


@pytest.fixture(scope="session")
def labelbeam_data() -> Path:
    """The folder of real photographs, label matrices and weights; skips where there is none."""
    here = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("LABELBEAM_DATA", here.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data: set LABELBEAM_DATA (looked in {folder})")
    return folder
