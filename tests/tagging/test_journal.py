"""The journal of a long job: nothing lost, nothing twice, whatever came or went meanwhile."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelbeam.errors import InputError
from labelbeam.tagging.journal import journal

NAMES = st.lists(st.sampled_from(["a.jpg", "b.jpg", "人.jpg", "c d.png"]), max_size=8)


def tagged(out: Path, names: list[str], *, stop_after: int | None = None) -> list[str]:
    """Write a line per image that is left; stop as a kill would."""
    with journal(out, job={}) as lines:
        for count, path in enumerate(lines.remaining(map(Path, names))):
            if count == stop_after:
                lines.flush()
                raise KeyboardInterrupt
            lines.write(json.dumps({"image": str(path)}))
    return [json.loads(line)["image"] for line in out.read_text(encoding="utf-8").splitlines()]


@given(NAMES, st.integers(0, 8))
def test_a_job_that_was_stopped_writes_what_an_unbroken_one_writes(names: list[str], stop: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jsonl"
        if stop < len(names):
            with pytest.raises(KeyboardInterrupt):
                tagged(out, names, stop_after=stop)
            assert not out.exists()
        assert tagged(out, names) == names
        assert [file.name for file in Path(folder).iterdir()] == ["out.jsonl"]


@given(NAMES, NAMES, st.integers(0, 8))
def test_images_that_came_meanwhile_get_a_line_and_none_gets_two(
    before: list[str], after: list[str], stop: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out, done = Path(folder) / "out.jsonl", before[:stop]
        if stop < len(before):
            with pytest.raises(KeyboardInterrupt):
                tagged(out, before, stop_after=stop)
        else:
            done = []
        found = tagged(out, after)
        assert found[: len(done)] == done
        for name in {*before, *after}:
            assert found.count(name) == max(done.count(name), after.count(name))


def test_lines_of_another_job_are_not_continued(tmp_path: Path) -> None:
    def stopped() -> None:
        with journal(tmp_path / "out.jsonl", job={"run": 1}):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    with (
        pytest.raises(InputError, match=r"other settings \(run differ\).*--overwrite"),
        journal(tmp_path / "out.jsonl", job={"run": 2}),
    ):
        pass
    with journal(tmp_path / "out.jsonl", job={"run": 2}, anew=True) as lines:
        assert lines.done == 0


def test_damaged_settings_of_a_job_are_told(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl.partial").write_text("")
    (tmp_path / "out.jsonl.job.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"), journal(tmp_path / "out.jsonl", job={}):
        pass


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with journal(tmp_path / "out.jsonl", job={}) as first:
        with (
            pytest.raises(InputError, match="another call is writing"),
            journal(tmp_path / "out.jsonl", job={}),
        ):
            pass
        first.write('{"image": "a.jpg"}')
    assert (tmp_path / "out.jsonl").read_text() == '{"image": "a.jpg"}\n'


@given(st.integers(0, 12), st.integers(1, 5))
def test_a_job_goes_on_at_a_whole_group_of_lines(stop: int, together: int) -> None:
    names = [f"{number}.jpg" for number in range(12)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jsonl"
        (Path(folder) / "out.jsonl.job.json").write_text("{}")
        lines = "".join(json.dumps({"image": name}) + "\n" for name in names[:stop])
        (Path(folder) / "out.jsonl.partial").write_text(lines + '{"image": "half')
        with journal(out, job={}, together=together) as found:
            assert found.done == stop // together * together
            assert [str(path) for path in found.remaining(map(Path, names))] == names[found.done :]


def test_a_kill_while_the_table_is_made_loses_no_line(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"

    def stopped(lines: Path, part: Path) -> None:
        part.write_text("half a tab")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), journal(out, job={}, table=stopped) as lines:
        lines.write('{"image": "a.jpg"}')
    assert not out.exists()
    with journal(out, job={}, table=lambda lines, part: part.write_bytes(lines.read_bytes())) as lines:
        assert list(lines.remaining([Path("a.jpg")])) == []
    assert out.read_text() == '{"image": "a.jpg"}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(("together", "failed"), [(1, 2), (3, 1)])
def test_errors_of_earlier_calls_are_counted_as_far_as_their_lines_are_kept(
    together: int, failed: int, tmp_path: Path
) -> None:
    told = [{"image": "a", "error": "x"}, {"image": "b"}, {"image": '"error"'}, {"image": "d", "error": "y"}]
    (tmp_path / "out.jsonl.job.json").write_text("{}")
    (tmp_path / "out.jsonl.partial").write_text("".join(json.dumps(line) + "\n" for line in told))
    with journal(tmp_path / "out.jsonl", job={}, together=together) as lines:
        assert lines.failed == failed


def test_a_second_call_that_would_start_anew_deletes_nothing_of_the_first(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with journal(out, job={}) as first:
        first.write('{"image": "a.jpg"}')
        first.flush()
        with pytest.raises(InputError, match="another call is writing"), journal(out, job={}, anew=True):
            pass
        first.write('{"image": "b.jpg"}')
    assert out.read_text() == '{"image": "a.jpg"}\n{"image": "b.jpg"}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_result_that_is_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/k").write_text("")
    out = tmp_path / "out.jsonl"
    out.symlink_to("store/k")
    with journal(out, job={}, anew=True) as lines:
        lines.write('{"image": "a.jpg"}')
    assert out.is_symlink()
    assert (tmp_path / "store/k").read_text() == '{"image": "a.jpg"}\n'


@pytest.mark.parametrize(
    "line", [b"7" * 5000, b"[" * 5000, b"\xff", b'{"image": 3}', b'{"image": "a", "error": ' + b"[" * 300]
)
def test_lines_that_are_damaged_are_told_in_words(tmp_path: Path, line: bytes) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        tagged(out, ["a.jpg", "b.jpg"], stop_after=1)
    (tmp_path / "out.jsonl.partial").write_bytes(line + b' "error"\n')
    with pytest.raises(InputError, match="damaged"), journal(out, job={}) as lines:
        list(lines.remaining([Path("a.jpg")]))
