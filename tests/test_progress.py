"""Progress: nothing where nobody looks, a line now and then in a log, with the rate of this call alone."""

import sys
from types import SimpleNamespace

import pytest

from labelbeam.progress import progress_bar, progress_line


def test_without_a_terminal_nothing_is_printed_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("tagging", 10) as advance:
        advance(10)
    assert capsys.readouterr().err == ""


def test_a_log_gets_a_line_each_time_the_seconds_have_passed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with progress_bar("tagging", 1000, done=400, log_every=60.0) as advance:
        for _ in range(4):
            now[0] += 25
            advance(50)
    assert capsys.readouterr().err == "tagging: 550 of 1,000, 2.0/s, 4 min left\n"


def test_a_notebook_shows_a_line_below_the_cell_and_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class ZMQInteractiveShell:
        """Stands for the shell of a notebook."""

    shown = []

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> SimpleNamespace:
        shown.append(data["text/plain"])
        return SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))

    module = SimpleNamespace(get_ipython=ZMQInteractiveShell, display=SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", module.display)
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with progress_bar("training", 100) as advance:
        for _ in range(4):
            now[0] += 0.1
            advance(10)
    assert shown == [
        "training …",
        "training: 10 of 100, 100/s, 1 s left",
        "training: 30 of 100, 100/s, 1 s left",
        "",
    ]
    shown.clear()
    with progress_bar("training", 100, shown=False) as advance:
        advance(100)
    assert shown == []


@pytest.mark.parametrize(
    ("done", "total", "seconds", "words"),
    [
        (5, None, 2.0, "tagging: 5, 2.5/s"),
        (5, 5, 0.0, "tagging: 5 of 5, 0.0/s"),
        (1_000, 1_000_000, 1.0, "tagging: 1,000 of 1,000,000, 1,000/s, 17 min left"),
        (10, 1_000_000, 10.0, "tagging: 10 of 1,000,000, 1.0/s, 277.8 h left"),
        (50, 100, 50.0, "tagging: 50 of 100, 1.0/s, 50 s left"),
    ],
)
def test_times_are_given_in_the_unit_that_fits(
    done: int, total: int | None, seconds: float, words: str
) -> None:
    assert progress_line("tagging", done, total, before=0, seconds=seconds) == words
