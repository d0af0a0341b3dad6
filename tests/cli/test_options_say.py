"""What commands print goes through one function, which a terminal only shows."""

import ast
import json
from pathlib import Path

import pytest

import labelbeam.cli
from labelbeam.cli.options import say, say_json

FOLDER = Path(labelbeam.cli.__file__).parent
NAMES = ["\x1b[2J", "a\x9b2J", "a\u202egpj.exe", "\udcff"]


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_shows_names_and_obeys_none(name, capsys):
    say(f"{name}\tcat")
    say_json({"image": name})
    text, line = capsys.readouterr().out.splitlines()
    assert (text + line).replace("\t", "").isprintable()
    assert json.loads(line) == {"image": name}


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_no_command_prints_in_another_way(file):
    functions = [
        one for one in ast.parse(file.read_text()).body if getattr(one, "name", "") not in ("say", "say_json")
    ]
    calls = [node.func for one in functions for node in ast.walk(one) if isinstance(node, ast.Call)]
    names = {ast.unparse(call) for call in calls}
    assert not names & {"print", "typer.echo", "typer.secho", "sys.stdout.write", "click.echo"}
