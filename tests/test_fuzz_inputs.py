"""Inputs on which a parser once ended in a traceback, a hang or without memory: now it answers or refuses."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzzing import KEPT, Parser, parsers
from labelbeam.errors import InputError

INPUTS = sorted(file for file in KEPT.glob("*/*") if file.is_file())


@pytest.fixture(scope="module")
def all_parsers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], Parser]]:
    return parsers(tmp_path_factory.mktemp("parsers"))


def test_every_parser_reads_what_is_in_order(all_parsers: dict[str, Callable[[], Parser]]) -> None:
    assert len(all_parsers) > 40
    for name, make in all_parsers.items():
        parser = make()
        # Nothing but a trained run writes a calibration: the one in order is kept, behind those that are not.
        parser.run(parser.seeds[-1 if name == "calibration" else 0])


@pytest.mark.parametrize("file", INPUTS, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_what_was_a_defect_is_read_or_refused(
    all_parsers: dict[str, Callable[[], Parser]], file: Path
) -> None:
    parsers_by_folder = {name.replace("/", " "): make for name, make in all_parsers.items()}
    parser, began = parsers_by_folder[file.parent.name](), time.monotonic()
    try:
        parser.run(file.read_bytes())
    except InputError as error:
        assert len(str(error)) < 2000  # noqa: PT017
    assert time.monotonic() - began < 10
