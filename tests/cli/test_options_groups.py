"""Options shared by verbs: every switch of the readers is there, whatever a message names exists."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

import labelbeam
from labelbeam.cli.options import ENCODER, READ, takes_options
from labelbeam.data.dataset import ReadOptions
from labelbeam.encoders.encoder import EncoderConfig
from labelbeam.errors import InputError
from labelbeam.runs.config import configure

SOURCE = Path(__file__).resolve().parents[2] / "src" / "labelbeam"


def test_every_switch_of_the_readers_is_an_option():
    assert {option.field for option in READ} == {field.name for field in fields(ReadOptions)}


def test_every_option_is_a_field_of_its_dataclass():
    assert {option.field for option in ENCODER} <= {field.name for field in fields(EncoderConfig)}


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_the_options_are_in_the_help_under_their_heading(verb, command):
    told = command(verb, "--help", env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).stdout
    assert "How the data is read" in told
    for flag in ("--keep-unlabelled", "--drop-unlabelled", "--missing", "--image-column", "--encoding"):
        assert flag in told
    assert ("--pad-type" in told) == (verb == "train")


def test_what_the_messages_of_readers_and_encoders_name_exists(command):
    wide = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
    told = "".join(command(verb, "--help", env=wide).stdout for verb in ("train", "tag", "suggest", "export"))
    named = set()
    for folder in ("data", "encoders"):
        for file in (SOURCE / folder).glob("*.py"):
            named |= set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", file.read_text(encoding="utf-8")))
    assert "--mean" in named
    assert {flag for flag in named if flag not in told} == set()


def test_only_what_was_asked_for_reaches_the_verb():
    seen = []

    @takes_options(encoder=(ENCODER, "B"))
    def keep(*, encoder):
        seen.append(dict(encoder))

    keep(mean="0.5, 0.25,1", pad_type="", size=None)
    assert seen == [{"mean": (0.5, 0.25, 1.0), "pad_type": ""}]
    assert configure(options={"encoder": seen[0]}).encoder.mean == (0.5, 0.25, 1.0)


@pytest.mark.parametrize("text", ["0.5", "0.5,0.5", "a,b,c", "1,2,3,4", ""])
def test_three_numbers_are_three_numbers(text):
    @takes_options(encoder=(ENCODER, "B"))
    def show(*, encoder):
        raise AssertionError

    with pytest.raises(InputError, match=r"--std .* is not three numbers"):
        show(std=text)


def test_the_version_is_that_of_the_package(command):
    done = command("--version")
    assert (done.exit_code, done.stdout) == (0, f"labelbeam {labelbeam.__version__}\n")
