"""`labelbeam neighbors` as a user runs it."""

import json

import numpy as np
import pytest

from labelbeam.joints.run_directory import load_run


def test_neighbours_are_those_of_a_plain_double_loop(finished, command):
    run = load_run(finished)
    points = run.head.U_l.detach().numpy()[: len(run.vocabulary)]
    names = run.vocabulary.names
    told = json.loads(command("neighbors", finished, "--count", 3, "--json").stdout)["neighbors"]
    assert set(told) == set(names)
    for i, name in enumerate(names):
        cosines = {
            other: float(points[i] @ points[j] / np.linalg.norm(points[i]) / np.linalg.norm(points[j]))
            for j, other in enumerate(names)
            if j != i
        }
        best = sorted(cosines, key=cosines.get, reverse=True)[:3]
        assert [near["label"] for near in told[name]] == best
        assert told[name][0]["similarity"] == pytest.approx(cosines[best[0]], abs=1e-5)


def test_one_label_and_one_image_are_lines_of_text(finished, command, drawn):
    by_label = command("neighbors", finished, "holiday", "--count", 2)
    assert by_label.stdout.startswith("holiday\t")
    assert by_label.stdout.count(",") == 1
    by_image = command("neighbors", finished, "--image", drawn / "00000.png")
    assert by_image.stdout.startswith(f"{drawn / '00000.png'}\t")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["holiday", "--image", "a.png"], ["not both"]),
        (["--image", "gone.png"], ["gone.png", "no such file"]),
        (["--measure", "cosin"], ["'cosin'", "'cosine'"]),
    ],
)
def test_wrong_options_are_told_in_words(options, words, finished, command):
    done = command("neighbors", finished, *options)
    assert done.exit_code == 2, done.output
    assert all(word in done.stderr for word in words), done.stderr


def test_a_sigmoid_run_has_no_space_for_images_and_says_so(train, command, drawn, tmp_path):
    run = train(tmp_path / "run", "--head", "sigmoid", "--epochs", 1)
    assert command("neighbors", run, "holiday").exit_code == 0
    done = command("neighbors", run, "--image", drawn / "00000.png")
    assert done.exit_code == 2
    assert "'sigmoid'" in done.stderr
