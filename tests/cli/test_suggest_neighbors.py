"""`labelbeam neighbors` as a user runs it."""

import json

import numpy as np
import pytest

from labelbeam.runs.run_directory import load_run


def test_neighbours_are_those_of_a_plain_double_loop(finished, command):
    run = load_run(finished)
    points = run.head.U_l[: len(run.vocabulary)]
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
        (["--beside", "run"], ["--image"]),
        (["--among", "csv:tags.csv"], ["labels or --image"]),
        (["--space", "joint"], ["--among"]),
        (["--map", "map.png"], [".svg"]),
        (["hoilday", "--among", "csv:gone.csv"], ["'holiday'"]),
    ],
)
def test_wrong_options_are_explained(options, words, finished, command):
    done = command("neighbors", finished, *options)
    assert done.exit_code == 2, done.output
    assert all(word in done.stderr for word in words), done.stderr


def test_a_sigmoid_run_has_no_space_for_images_and_says_so(train, command, drawn, tmp_path):
    run = train(tmp_path / "run", "--head", "sigmoid", "--epochs", 1)
    assert command("neighbors", run, "holiday").exit_code == 0
    done = command("neighbors", run, "--image", drawn / "00000.png")
    assert done.exit_code == 2
    assert "'sigmoid'" in done.stderr


def test_images_near_a_label_set_and_near_an_image_leave_the_image_itself_out(finished, command, drawn):
    data = f"csv:{drawn / 'tags.csv'}#test"
    told = json.loads(
        command("neighbors", finished, "holiday", "sea", "--among", data, "--count", 3, "--json").stdout
    )
    assert len(told["images"]["holiday, sea"]) == 3
    image = drawn / "00050.png"
    done = command("neighbors", finished, "--image", image, "--among", data, "--count", 20, "--json")
    near = [one["image"] for one in json.loads(done.stdout)["images"][str(image)]]
    assert len(near) == 11
    assert "00050.png" not in near


def test_the_map_is_a_picture_with_its_numbers_beside_it(finished, command, drawn, tmp_path):
    done = command("neighbors", finished, "--image", drawn / "00000.png", "--map", tmp_path / "map.svg")
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "map.json").read_text(encoding="utf-8"))
    assert (tmp_path / "map.svg").read_text(encoding="utf-8").count('class="dot"') == len(told["labels"])
    assert told["way"][-1]["says"] is None
