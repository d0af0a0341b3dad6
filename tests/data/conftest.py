"""Fixtures of the tests of fetching (importlib mode adds no folder)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from unreliable_server import Site, served


@pytest.fixture
def site() -> Iterator[Site]:
    """A local server that serves what is put into it."""
    with served() as one:
        yield one
