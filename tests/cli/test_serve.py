"""`labelbeam serve`: its options; the service itself is tested in tests/service."""

from pathlib import Path
from types import ModuleType

import pytest

from labelbeam.cli import serve as verb
from labelbeam.cli.serve import key_from, limits_from, serve
from labelbeam.errors import InputError
from labelbeam.service.admission import Limits
from labelbeam.service.server import bound_socket


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_a_public_address_without_a_key_is_refused(host: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a public address needs a key"):
        serve(tmp_path, host=host)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"limit": ["files=many"]}, "no whole number"),
        ({"limit": ["fils=3"]}, "Did you mean 'files'"),
        ({"limit": ["files"]}, "files=10"),
        ({"limit": ["files=0"]}, "more than 0"),
        ({"limit": ["rate=-1"]}, "no limit"),
        ({"limit": ["rate=nan"]}, "rate"),
        ({"key_file": Path("nowhere")}, "--key-file nowhere cannot be read"),
        ({"api_key_env": "NO_SUCH_KEY"}, "no such environment variable"),
        ({"key_file": Path("a"), "api_key_env": "A"}, "Leave one out"),
        ({"host": "no-such-host.invalid", "api_key_env": "LONG_KEY"}, "no address of this machine"),
        ({"api_key_env": "SHORT_KEY"}, "16 or more"),
        ({}, "not a run directory"),
    ],
)
def test_a_wrong_option_says_what_to_do(
    options: dict, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONG_KEY", "correct-horse-battery-staple")
    monkeypatch.setenv("SHORT_KEY", "a")
    with pytest.raises(InputError) as told:
        serve(tmp_path / "nowhere", **{"port": 0, **options})
    assert words in str(told.value)


def test_a_taken_port_is_reported_before_the_run_is_loaded(tmp_path: Path) -> None:
    with bound_socket("127.0.0.1", 0) as listening, pytest.raises(InputError, match="taken"):
        serve(tmp_path / "nowhere", port=listening.getsockname()[1])


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "find_spec", lambda name: None if name == "uvicorn" else ModuleType(name))
    with pytest.raises(InputError, match=r"uvicorn missing\): pip install 'labelbeam\[serve\]'"):
        serve(tmp_path)


def test_limits_are_those_that_were_given_and_else_the_defaults() -> None:
    assert limits_from(["rate=2.5", "files=3"]) == Limits(rate=2.5, files=3)
    assert limits_from([]) == Limits()


def test_the_key_comes_without_its_line_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("correct-horse-battery-staple\n")
    monkeypatch.setenv("KEY", " correct-horse-battery-staple ")
    assert key_from(tmp_path / "key", None) == key_from(None, "KEY") == "correct-horse-battery-staple"
    assert key_from(None, None) is None
