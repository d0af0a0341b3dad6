import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def picture(drawn) -> Path:
    return next(path for path in sorted(drawn.iterdir()) if path.suffix == ".png")


@pytest.fixture(scope="module")
def labels(finished) -> list[str]:
    return json.loads((finished / "labels.json").read_text(encoding="utf-8"))["names"]


@pytest.fixture(scope="module")
def sigmoid(train, tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("runs") / "sigmoid", "--head", "sigmoid")


def test_text_has_a_line_per_label_with_what_came_before(command, finished, picture, labels) -> None:
    done = command("explain", finished, picture, "--labels", f"{labels[3]},{labels[0]}")
    assert done.exit_code == 0, done.output
    first, one, other = done.stdout.splitlines()
    assert first == "method: deconvnet   target: log_prob"
    assert one.split("\t")[1] == labels[0]
    assert other.split("\t")[1] == labels[3]
    assert other.endswith(f"after {labels[0]}")


@pytest.mark.parametrize("target", ["log_prob", "logit", "expected"])
@pytest.mark.parametrize("method", ["deconvnet", "grad-cam", "gradient-input"])
def test_out_holds_the_strip_the_maps_and_their_numbers(
    target, method, command, finished, picture, labels, tmp_path
) -> None:
    out = tmp_path / "out"
    done = command(
        *("explain", finished, picture, "--out", out, "--target", target, "--method", method),
        *("--labels", ",".join(labels[:2]), "--json"),
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told == json.loads((out / f"{picture.stem}.explained.json").read_text(encoding="utf-8"))
    assert (told["method"], told["target"], told["image"]) == (method, target, str(picture))
    assert [step["label"] for step in told["steps"]] == labels[:2]
    with np.load(out / f"{picture.stem}.explained.npz", allow_pickle=False) as maps:
        both = {kind: maps[kind] for kind in ("supporting", "opposing")}
    for kind in both.values():
        assert kind.dtype == np.float16
        assert kind.shape == (2, told["size"], told["size"])
        assert (kind >= 0).all()
    signed = both["supporting"].astype(float) - both["opposing"]
    for step, one in zip(told["steps"], signed, strict=True):
        row, column = np.unravel_index(int(one.argmax()), one.shape)
        x = told["region"]["left"] + (column + 0.5) / told["size"] * told["region"]["width"]
        # Half precision may move a flat top.
        assert one[row, column] == pytest.approx(one.max())
        assert abs(x - step["peak"]["x"]) <= 0.1 * told["region"]["width"]
    with Image.open(out / f"{picture.stem}.explained.png") as strip:
        assert strip.width > strip.height / 2


def test_the_probabilities_multiply_to_that_of_the_path_that_tag_says(
    command, finished, drawn, labels
) -> None:
    from labelbeam.explain.explained_run import explain
    from labelbeam.runs.run_directory import load_run
    from labelbeam.runs.tagger import Tagger

    run = load_run(finished)
    for picture in sorted(drawn.glob("*.png"))[:4]:
        (tagged,) = Tagger(run).tag([picture])
        found = explain(run, picture, labels=[*tagged.path, "END"])
        total = float(np.log([step.prob for step in found.steps]).sum())
        assert total == pytest.approx(tagged.log_prob, abs=0.01)  # features of `tag` are half precision
        if tagged.path:
            assert tuple(step.label for step in explain(run, picture).steps) == tagged.path


def test_a_run_that_says_nothing_explains_why_it_stops(command, finished, picture) -> None:
    from dataclasses import replace

    import torch

    from labelbeam.explain.explained_run import explain
    from labelbeam.heads.arrays_torch import trained
    from labelbeam.runs.build import trainable_head
    from labelbeam.runs.run_directory import load_run

    run = load_run(finished)
    model = trainable_head(run.head, run.config)
    with torch.no_grad():
        model.U_l[:-1] *= 0.01
        model.U_l[-1] = 10 * model.U_o(model.cell(model.start, model.cell.start(1))[0])[0]
        model.U_I.weight.zero_()
        if model.per_label is not None:
            model.per_label.weight.zero_()
            model.per_label.bias.fill_(-20)
    found = explain(replace(run, head=trained(model)), picture)
    assert [step.label for step in found.steps] == ["END"]
    assert "path is empty" in found.note


def test_a_sigmoid_head_has_one_map_per_label_and_no_steps(command, sigmoid, picture, tmp_path) -> None:
    page = tmp_path / "page.html"
    done = command("explain", sigmoid, picture, "--page", page, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["steps"]
    assert all(step["given"] == [] for step in told["steps"])
    assert "each by itself" in told["caption"]
    assert " − " not in page.read_text(encoding="utf-8")


def test_the_page_holds_everything_and_asks_no_network(command, finished, picture, labels, tmp_path) -> None:
    page = tmp_path / "page.html"
    done = command("explain", finished, picture, "--labels", ",".join(labels[:3]), "--page", page)
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 1 + 3 + 2
    assert "http" not in text
    assert f"{labels[1]} − {labels[0]}" in text


def test_names_in_any_script_are_drawn_and_markup_in_them_is_text(
    finished, picture, labels, tmp_path
) -> None:
    from dataclasses import replace

    from labelbeam.explain.explained_run import explain, write_explanation, write_page
    from labelbeam.labels.vocabulary import Vocabulary
    from labelbeam.runs.run_directory import load_run

    run = load_run(finished)
    names = ("猫の写真", "<script>alert(1)</script>", "a, b", *(f"{n} {'long ' * 20}x" for n in labels[3:]))
    renamed = replace(run, vocabulary=Vocabulary(names))
    found = explain(renamed, picture, labels=names[:4])
    assert [step.label for step in found.steps] == list(names[:4])
    write_page([found], tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "猫の写真" in text
    assert "<script" not in text
    assert all(file.is_file() for file in write_explanation(found, tmp_path))


BAD = [
    (["--labels", "zebre"], ["unknown label 'zebre'"]),
    (["--labels", ""], ["no label was named"]),
    (["--target", "logprob"], ["unknown target", "log_prob"]),
    (["--method", "deconvent"], ["unknown method", "deconvnet"]),
    (["--out", "maps.html"], ["it is a folder", "--page maps.html"]),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_bad_input_gets_words_that_repair_it(options, words, command, finished, picture) -> None:
    done = command("explain", finished, picture, *options)
    assert done.exit_code == 2
    for word in words:
        assert word in done.stderr


def test_bad_combinations_and_files_get_words_too(
    command, finished, sigmoid, picture, labels, tmp_path
) -> None:
    twice = command("explain", finished, picture, "--labels", f"{labels[0]},{labels[0]}")
    assert "name each label once" in twice.stderr
    no_steps = command("explain", sigmoid, picture, "--target", "expected")
    assert "a sigmoid head has no steps" in no_steps.stderr
    (tmp_path / "text.jpg").write_text("hello")
    broken = command("explain", finished, tmp_path / "text.jpg")
    assert "not an image" in broken.stderr
    (tmp_path / "file").write_text("")
    nowhere = command("explain", finished, picture, "--out", tmp_path / "file")
    assert "cannot be written" in nowhere.stderr
    assert {done.exit_code for done in (twice, no_steps, broken, nowhere)} == {2}


def test_nothing_is_written_over_the_photo_beside_which_it_is_put(
    command, finished, picture, tmp_path
) -> None:
    photo = Path(shutil.copy(picture, tmp_path / "a.png"))
    before = photo.read_bytes()
    assert command("explain", finished, photo, "--out", tmp_path).exit_code == 0
    assert photo.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 4
