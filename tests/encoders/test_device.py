import pytest

from labelbeam.encoders.device import accelerator_for
from labelbeam.errors import InputError


def test_processes_that_are_not_joined_are_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("accelerate.Accelerator", lambda **_: type("One", (), {"num_processes": 1})())
    with pytest.raises(InputError, match=r"2 processes were launched, but they are not joined.*torchrun"):
        accelerator_for("no")


def test_one_process_needs_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert accelerator_for("no").num_processes == 1
