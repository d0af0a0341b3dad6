import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def picture(drawn) -> Path:
    return next(path for path in sorted(drawn.iterdir()) if path.suffix != ".csv")


@pytest.fixture(scope="module")
def labels(finished) -> list[str]:
    return json.loads((finished / "labels.json").read_text(encoding="utf-8"))["names"]


@pytest.fixture
def vector(finished, picture, tmp_path) -> Path:
    """The picture's features in a file."""
    from labelbeam.features.extract import extract
    from labelbeam.runs.run_directory import load_run

    np.save(tmp_path / "vector.npy", extract([picture], load_run(finished).encoder).values[0])
    return tmp_path / "vector.npy"


def test_suggestions_are_printed_best_first_under_their_mechanism(command, finished, picture, labels) -> None:
    done = command("suggest", finished, picture, "--accepted", labels[0], "--count", 3)
    assert done.exit_code == 0, done.output
    first, *lines = done.stdout.splitlines()
    assert first == "mechanism: likelihood-weighting"
    assert len(lines) == 3
    scores = [float(line.split()[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert labels[0] not in [line.split("\t")[1].split("   ")[0] for line in lines]


def test_json_is_one_object_with_everything(command, finished, picture, labels) -> None:
    accepted, refused = ",".join(labels[:2]), labels[3]
    done = command(
        "suggest", finished, picture, "--accepted", accepted, "--rejected", refused, "--count", 4, "--json"
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["image"] == str(picture)
    assert told["mechanism"] == "likelihood-weighting"
    assert (told["accepted"], told["rejected"]) == (labels[:2], [refused])
    assert len(told["suggestions"]) == 4
    assert set(told["suggestions"][0]) == {"label", "score", "low", "high", "stderr"}
    assert 0 < told["evidence"] < 1


def test_a_stored_vector_gives_what_the_image_gives(command, finished, picture, vector, labels) -> None:
    evidence = ("--accepted", labels[1], "--json")
    seen = json.loads(command("suggest", finished, picture, *evidence).stdout)
    stored = json.loads(command("suggest", finished, "--vector", vector, *evidence).stdout)
    assert stored.pop("image") == str(vector)
    assert seen.pop("image") == str(picture)
    assert stored == seen


def test_a_row_of_a_matrix_of_one_image_is_a_vector_too(command, finished, vector, tmp_path) -> None:
    np.save(tmp_path / "row.npy", np.load(vector)[None])
    seen, row = (
        command("suggest", finished, "--vector", path).stdout for path in (vector, tmp_path / "row.npy")
    )
    assert seen == row


def test_labels_may_be_given_one_by_one(command, finished, picture, labels) -> None:
    once = command("suggest", finished, picture, "--accepted", f"{labels[0]}, {labels[1]}", "--json").stdout
    twice = command(
        "suggest", finished, picture, "--accepted", labels[0], "--accepted", labels[1], "--json"
    ).stdout
    assert once == twice


def test_a_sigmoid_run_warns_on_standard_error_only(command, train, picture, tmp_path) -> None:
    run = train(tmp_path / "run", "--head", "sigmoid", "--epochs", 1)
    done = command("suggest", run, picture)
    assert done.stdout.startswith("mechanism: sigmoid\n")
    assert "each label by itself" in done.stderr
    assert "each label by itself" in json.loads(command("suggest", run, picture, "--json").stdout)["note"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["give an image", "--vector", "neither was given"]),
        (["PICTURE", "--vector", "VECTOR"], ["both were given"]),
        (["PICTURE", "--accepted", "sqare"], ["unknown label 'sqare'"]),
        (["PICTURE", "--accepted", "LABEL", "--rejected", "LABEL"], ["both accepted and rejected"]),
        (["PICTURE", "--count", "0"], ["count"]),
        (["nowhere.jpg"], ["nowhere.jpg"]),
        (["--vector", "nowhere.npy"], ["nowhere.npy", "cannot be read"]),
        (["--vector", "PICTURE"], ["no .npy file", "numpy.save"]),
        (["--vector", "ARCHIVE"], ["archive", "one array"]),
        (["--vector", "OBJECTS"], ["no .npy file"]),
        (["--vector", "SHORT"], ["floating-point numbers", "[2]"]),
    ],
)
def test_bad_input_is_reported_with_exit_status_2(
    command, finished, picture, vector, labels, tmp_path, arguments, words
) -> None:
    np.savez(tmp_path / "archive.npz", a=np.zeros(2))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "short.npy", np.zeros(2, np.float32))
    files = {"ARCHIVE": "archive.npz", "OBJECTS": "objects.npy", "SHORT": "short.npy"}
    meant = {name: tmp_path / file for name, file in files.items()}
    meant |= {"PICTURE": picture, "VECTOR": vector, "LABEL": labels[0]}
    done = command("suggest", finished, *(meant.get(one, one) for one in arguments))
    assert done.exit_code == 2
    assert [word for word in words if word not in done.stderr] == []
