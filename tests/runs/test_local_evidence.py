"""Runs with local evidence, from `train` to `tag`, exported and given one more label."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from labelbeam import decode, load
from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.runs.tagger import Tagger

LOCAL = ("--local", "csra", "--grid", "2")


@pytest.fixture(scope="module", params=["cnn-rnn", "sigmoid"])
def local_run(request: pytest.FixtureRequest, train: Callable[..., Path], tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("local") / request.param
    return train(folder, "--head", request.param, *LOCAL)


def rows_of(tagger: Tagger, drawn: Path) -> np.ndarray:
    return extract(
        sorted(drawn.glob("*.png"))[:6] or sorted(drawn.glob("*.jpg"))[:6], tagger.run.encoder
    ).values


def test_a_run_holds_its_grid_and_answers_by_its_map(local_run: Path, drawn: Path) -> None:
    tagger = Tagger.load(local_run)
    assert tagger.run.encoder.map_shape is not None
    assert tagger.run.encoder.map_shape.grid == 2
    rows = rows_of(tagger, drawn)
    blind = rows.copy()
    blind[:, tagger.run.encoder.num_features :] = 0
    assert np.abs(tagger.answer(rows).scores - tagger.answer(blind).scores).max() > 1e-6


@pytest.mark.parametrize("to", ["onnx", "numpy"])
def test_an_export_gives_the_same_answers(
    local_run: Path, drawn: Path, tmp_path: Path, command: Callable, to: str
) -> None:
    if to == "onnx" and (find_spec("onnxruntime") is None or find_spec("onnxscript") is None):
        pytest.skip("the extra onnx is not installed")
    done = command("export", local_run, "--to", to, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    original, exported = Tagger.load(local_run), Tagger.load(tmp_path / "out")
    rows = rows_of(original, drawn)
    if to == "onnx":
        np.testing.assert_allclose(rows_of(exported, drawn), rows, rtol=5e-3, atol=5e-3)
    ours, theirs = original.answer(rows), exported.answer(rows)
    assert theirs.paths == ours.paths
    np.testing.assert_array_equal(theirs.scores, ours.scores)
    np.save(tmp_path / "rows.npy", rows)
    lines = subprocess.run(
        [sys.executable, tmp_path / "out" / "decode.py", tmp_path / "rows.npy"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for line, path in zip(lines, ours.paths, strict=True):
        assert sorted(json.loads(line)["labels"]) == sorted(original.labels[i] for i in path)


def test_training_states_the_disk_that_maps_take(
    command: Callable, drawn: Path, encoder_file: Path, tmp_path: Path
) -> None:
    asked = (
        "train",
        "--data",
        f"csv:{drawn / 'tags.csv'}#train",
        "--weights",
        encoder_file,
        "--head",
        "sigmoid",
    )
    done = command(*asked, *LOCAL, "--out", tmp_path / "run", "--epochs", 1)
    assert done.exit_code == 0
    assert "maps of 2 x 2 places of 41 images, and of their mirror images" in done.stderr
    done = command(*asked, *LOCAL, "--out", tmp_path / "other", "--grid-limit", 1e-6)
    assert done.exit_code == 2
    assert "--grid-limit 1" in done.stderr
    assert "GB of disk" in done.stderr
    assert not (tmp_path / "other").exists()


def test_what_has_no_places_is_refused_with_the_reason(
    command: Callable, drawn: Path, taught: Path, encoder_file: Path, tmp_path: Path
) -> None:
    pictures = ("train", "--data", f"csv:{drawn / 'tags.csv'}#train", "--weights", encoder_file)
    out = ("--out", tmp_path / "run")
    for arguments, words in [
        ((*pictures, "--grid", 7), "--local csra"),
        ((*pictures, "--tiles", 2), "--tiles 2 is of the map"),
        ((*pictures, "--local", "csr"), "'csra'"),
        ((*pictures, "--local", "csra", "--head", "softmax"), "does not look at places"),
        ((*pictures, "--local", "csra", "--set", "label_model.per_label=0"), "per_label above 0"),
        ((*pictures, "--local", "csra", "--tune", 2), "--tune"),
        (("train", "--data", f"vectors:{taught}#train", "--local", "csra"), "needs pictures"),
    ]:
        done = command(*arguments, *out)
        assert done.exit_code == 2, arguments
        assert words in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_that_looks_at_tiles_tags_exports_and_explains(
    command: Callable, drawn: Path, encoder_file: Path, tmp_path: Path
) -> None:
    done = command(
        *("train", "--data", f"csv:{drawn / 'tags.csv'}#train", "--weights", encoder_file, "--epochs", 1),
        *("--local", "query-attention", "--tiles", 2, "--out", tmp_path / "run"),
    )
    assert done.exit_code == 0, done.output
    run = Tagger.load(tmp_path / "run")
    assert run.run.encoder.map_shape.tiles == 2
    done = command("export", tmp_path / "run", "--to", "numpy", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    rows = rows_of(run, drawn)
    assert Tagger.load(tmp_path / "out").answer(rows).paths == run.answer(rows).paths
    picture = next(drawn.rglob("*.png"))
    done = command("explain", tmp_path / "run", picture, "--out", tmp_path / "why")
    assert done.exit_code == 0, done.output
    done = command("explain", tmp_path / "run", picture, "--out", tmp_path / "not", "--method", "grad-cam")
    assert done.exit_code == 2
    assert "looks at tiles" in done.stderr


def test_a_run_takes_one_more_label(local_run: Path, command: Callable, drawn: Path, tmp_path: Path) -> None:
    rows = [line.split(",") for line in (drawn / "tags.csv").read_text().splitlines()[1:]]
    table = tmp_path / "more.csv"
    table.write_text(
        "image,tags\n" + "".join(f"{drawn / row[0]},{'new' if i % 3 else ''}\n" for i, row in enumerate(rows))
    )
    done = command("extend-labels", local_run, "--data", f"csv:{table}", "--out", tmp_path / "more")
    assert done.exit_code == 0, done.output
    assert "new" in Tagger.load(tmp_path / "more").labels


def test_the_searches_in_python_take_rows_with_a_map_and_refuse_others(
    train: Callable[..., Path], drawn: Path, tmp_path: Path
) -> None:
    run = load(train(tmp_path / "run", *LOCAL))
    rows = rows_of(run.tagger, drawn)
    found = decode(run).exact(rows)
    assert [tuple(found.path(i)) for i in range(len(rows))] == [
        tuple(path) for path in run.tagger.answer(rows).paths
    ]
    with pytest.raises(InputError, match="a map of 16 numbers a place"):
        decode(run).exact(rows[:, :-1])
