"""Kill -9 in the middle of what writes: points of `benchmarks/faults.py`, each at a moment that the seed draws.

Kills of a project's writer are in tests/project, of a training in tests/joints, of tagging jobs in tests/verbs, with
the page open in tests/service; `python benchmarks/faults.py` draws twenty moments over all kinds.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL is not on Windows")

if os.name != "nt":
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    from faults import POINTS, World, make_world

SEED = 0
"""Decides the moments; `benchmarks/faults.py --seed` draws others."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[World]":
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABELBEAM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield make_world(tmp_path_factory.mktemp("world"), seed=SEED)


@pytest.mark.parametrize("kind", ["upload", "export-numpy", "tag-xmp"])
def test_what_was_reported_outlives_a_kill_and_the_next_call_needs_no_repair(
    kind: str, world: "World"
) -> None:
    POINTS[kind](world)
