"""`labelbeam reproduce` on a small data set in COCO's layout: tables, page, resuming, the dry run, what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from safetensors import safe_open
from typer.testing import CliRunner, Result

from labelbeam.cli.app import with_messages
from labelbeam.cli.reproduce import reproduce
from labelbeam.features.extract import readable_features
from labelbeam.formats.registry import open_dataset, write_dataset
from labelbeam.paper import expected_time
from labelbeam.paper import result as reproduction
from labelbeam.paper.measures import RowAnswers, _read, answers_of
from labelbeam.paper.plan import BENCHMARKS, Request, truth_views
from labelbeam.paper.rows import ROWS as ROWS_BY_NAME
from labelbeam.runs.run_directory import load_run
from labelbeam.runs.tagger import Tagger

Reproduce = Callable[..., Result]
ROWS = "softmax,sigmoid,no-rnn,cnn-rnn"


@pytest.fixture(scope="session")
def again() -> Reproduce:
    """`labelbeam reproduce ARGUMENTS…` in this process."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(with_messages(reproduce))

    def run(*arguments: object) -> Result:
        done = CliRunner().invoke(app, [str(one) for one in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


@pytest.fixture(scope="session")
def root(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 training and 12 test pictures in COCO's layout."""
    folder = tmp_path_factory.mktemp("root") / "coco"
    whole = open_dataset(f"csv:{drawn / 'tags.csv'}")
    for split, rows in (("train2014", range(48)), ("val2014", range(48, 60))):
        write_dataset(whole.subset(rows), f"coco:{folder}#{split}", images="copy")
    return folder.parent


@pytest.fixture(scope="session")
def common(root: Path, encoder_file: Path) -> tuple[object, ...]:
    return ("coco2014", "--root", root, "--weights", encoder_file, "--bootstrap", 20, "--rows", ROWS)


@pytest.fixture(scope="session")
def done(again: Reproduce, common: tuple[object, ...], tmp_path_factory, own_cache) -> Path:
    """A finished reproduction; not to be changed."""
    out = tmp_path_factory.mktemp("reproduced") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABELBEAM_CACHE", str(own_cache))
        result = again(*common, "--out", out)
    assert result.exit_code == 0, result.output
    (out / "printed.txt").write_text(result.stdout, encoding="utf-8")
    return out


@pytest.fixture(scope="session")
def values(done: Path) -> dict:
    return json.loads((done / "reproduction.json").read_text(encoding="utf-8"))


def kept_answers(done: Path, run: str) -> RowAnswers:
    file = done / "answers" / f"{run}.safetensors"
    with safe_open(file, framework="numpy") as opened:
        found = _read(file, opened.metadata()["digest"])
    assert found is not None
    return found


def test_every_row_is_measured_under_every_protocol_that_it_can_be_judged_by(values) -> None:
    rows = set(ROWS.split(","))
    measured = {key.split(" | ")[0]: set(told) for key, told in values["measured"].items()}
    assert measured["ranked"] == measured["tuned-of1"] == measured["top-k-and-threshold"] == rows
    assert measured["path-k"] == measured["path-up-to-k"] == {"no-rnn", "cnn-rnn"}
    assert measured["path"] == rows - {"softmax"}
    for told in values["measured"].values():
        for numbers in told.values():
            for name, one in numbers.items():
                assert one["low"] <= one["high"], name


def test_forced_paths_have_exactly_k_labels_and_capped_ones_at_most(done) -> None:
    for run in ("cnn-rnn-c0-s0", "no-rnn-c0-s0"):
        found = kept_answers(done, run)
        assert set(found.forced.sum(axis=1)) == {3}
        assert found.capped.sum(axis=1).max() <= 3


def test_exact_k_numbers_are_those_of_a_slow_count(done, values, root) -> None:
    truth = open_dataset(f"coco:{root / 'coco'}#val2014").targets
    scores = kept_answers(done, "sigmoid-c0-s0").scores
    right = decided = 0
    for image in range(len(truth)):
        best = sorted(range(truth.shape[1]), key=lambda j: -scores[image, j])[:3]
        right += sum(truth[image, j] == 1 for j in best)
        decided += 3
    told = values["measured"]["ranked | all images"]["sigmoid"]
    assert told["OP"]["value"] == pytest.approx(right / decided)
    assert told["OR"]["value"] == pytest.approx(right / (truth == 1).sum())
    block = values["protocols"]["ranked | all images"]
    assert block["name"] == "exact-k"
    assert told["OP"]["value"] <= block["exact_k_ceiling"]["OP"]


def test_the_three_kinds_of_top_3_have_three_names(values) -> None:
    names = {block["protocol"]: block["name"] for block in values["protocols"].values()}
    assert names["ranked"] == "exact-k"
    assert names["path-k"] == "path-k"
    assert names["top-k-and-threshold"] == "top-k-and-threshold"


def test_paper_and_ours_stand_side_by_side_with_marks_and_ceilings(done) -> None:
    printed = " ".join((done / "printed.txt").read_text(encoding="utf-8").split())
    assert "CNN-RNN, paper [2+] 66.0 55.6 60.4 69.2 66.4 67.8 61.2" in printed
    assert "CNN-RNN, ours" in printed
    assert "60.7≠" in printed
    assert "65.7≠" in printed
    assert "Best that any method can reach by exactly 3 labels" in printed
    assert "path-3: paths forced to exactly 3 labels" in printed
    assert "One training each" in printed or "one training each" in printed


def test_the_page_is_one_file_with_verdicts_plots_protocols_and_commands(done, values) -> None:
    page = (done / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|https?://", page)
    for sentence in values["verdicts"]:
        assert sentence.replace("'", "&#x27;") in page
    assert page.count("<svg") >= 4
    assert "Protocol exact-k: the 3 best-ranked known labels" in page
    assert "labelbeam train --data" in page
    assert "not the benchmark&#x27;s official splits" not in page  # train2014 and val2014 are


def test_what_is_trained_already_is_kept_and_the_numbers_are_the_same(
    again, common, done, values, monkeypatch
) -> None:
    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(reproduction, "train_run", never)
    result = again(*common, "--out", done, "--json")
    assert result.exit_code == 0, result.output
    now = json.loads(result.stdout)
    assert now["measured"] == values["measured"]
    assert now["verdicts"] == values["verdicts"]


def test_an_interrupted_reproduction_goes_on_with_the_next_row(again, common, tmp_path, monkeypatch) -> None:
    real, trained = reproduction.train_run, []

    def interrupted(config, folder, **options):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(folder.name)
        return real(config, folder, **options)

    some = (*common[:-1], "softmax,sigmoid")
    monkeypatch.setattr(reproduction, "train_run", interrupted)
    assert again(*some, "--out", tmp_path / "out").exit_code == 130
    assert not (tmp_path / "out" / "index.html").exists()

    def counted(config, folder, **options):
        trained.append(folder.name)
        return real(config, folder, **options)

    monkeypatch.setattr(reproduction, "train_run", counted)
    assert again(*some, "--out", tmp_path / "out").exit_code == 0
    assert trained == ["softmax-c0-s0", "sigmoid-c0-s0"]


def test_another_recipe_is_another_run_and_replaces_it(again, common, tmp_path) -> None:
    one = (*common[:-1], "sigmoid", "--out", tmp_path / "out", "--json")
    first = json.loads(again(*one).stdout)
    second = json.loads(again(*one, "--recipe", "paper").stdout)
    key = "ranked | all images"
    assert first["measured"][key]["sigmoid"] != second["measured"][key]["sigmoid"]
    assert "--recipe paper" in second["rows"]["sigmoid"]["command"]


def test_seeds_and_configurations_are_reported_row_by_row(again, common, tmp_path) -> None:
    some = (*common[:-1], "softmax,knn", "--out", tmp_path / "out", "--json")
    told = json.loads(again(*some, "--seeds", 2, "--configurations", 2).stdout)
    for row in told["rows"].values():
        assert len(row["tried"]) == len(row["runs"]) == 2
        best = max(range(2), key=lambda i: (row["tried"][i]["mAP_area"], -i))
        assert row["chosen_configuration"] == best
    for numbers in told["measured"]["ranked | all images"].values():
        assert "deviation_over_seeds" in numbers["OF1"]


def test_orders_and_losses_are_rows_and_free_orders_have_a_likelihood_where_sets_are_small(
    again, common, root, tmp_path
) -> None:
    out = tmp_path / "out"
    rows = ["order-rare", "no-repeat", "order-shuffle", "loss-pla"]
    told = json.loads(again(*common[:-1], ",".join(rows), "--out", out, "--json").stdout)
    path = told["measured"]["path | all images"]
    assert list(path) == list(told["measured"]["path-k | all images"]) == rows
    assert told["rows"]["order-shuffle"]["name"] == "CNN-RNN, shuffled every batch"
    against = {one["against"] for one in told["differences_from_no_repeat"]}
    assert (against, told["differences"]) == (set(rows) - {"no-repeat"}, [])  # no row cnn-rnn
    # Some of these pictures have eight labels, whose orders are not summed.
    assert [row for row, numbers in path.items() if "log_likelihood" in numbers] == ["order-rare"]
    tagger = Tagger(load_run(out / "runs" / "loss-pla-c0-s0"))
    data = open_dataset(f"coco:{root / 'coco'}#val2014")
    data = data.subset(np.flatnonzero((data.targets == 1).sum(axis=1) <= 4))
    data, features, _ = readable_features(data, tagger.run.encoder, flips=False)
    kept = {"kept": tmp_path / "answers.safetensors", "digest": "few"}
    found = answers_of(out / "runs" / "loss-pla-c0-s0", data, features[:, 0], k=None, **kept)
    targets = data.with_vocabulary(tagger.run.vocabulary.names).targets
    expected = tagger.answerer.set_log_prob(features[:, 0], targets)
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-4)


def dry(again: Reproduce, name: str, root: Path, *more: object) -> dict:
    """The plan of a dry run with a small encoder and few rows, unless more is asked for."""
    quick = ("--encoder", "tiny", "--rows", "knn,sigmoid,cnn-rnn")
    return json.loads(again(name, "--root", root, "--dry-run", "--json", *quick, *more).stdout)


@pytest.fixture(autouse=True)
def measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected_time, "SECONDS", 0.0001)


def test_a_dry_run_of_all_rows_plans_orders_and_losses_too(again, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(expected_time, "row_rates", lambda *_, **__: (100.0, 100.0))  # measured below
    plan = dry(again, "coco2014", tmp_path, "--rows", "all")
    assert list(plan["rows"]) == list(ROWS_BY_NAME)
    assert all(plan["expected"]["rows_hours"][row] > 0 for row in ROWS_BY_NAME)


def test_a_dry_run_writes_nothing_and_says_what_would_be_done(again, common, tmp_path) -> None:
    out = tmp_path / "out"
    result = again(*common, "--out", out, "--dry-run", "--configurations", 2, "--seeds", 3)
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == []
    assert "48 images" in result.stdout
    assert "CNN-RNN: 4 training(s)" in result.stdout
    assert "expected on this machine" in result.stdout
    assert "measured just now" in result.stdout
    assert result.stdout.count("labelbeam train --data") == 2 * 4


@pytest.mark.parametrize("name", ["voc2007", "coco2014", "nuswide81", "nuswide1000", "scenes"])
def test_a_dry_run_works_where_the_data_are_not(name, again, tmp_path) -> None:
    plan = dry(again, name, tmp_path / "nowhere", *(["--rows", "sigmoid"] if name == "nuswide1000" else []))
    expected = plan["expected"]
    hours = expected["features_hours"] + sum(expected["rows_hours"].values())
    assert expected["hours"] == pytest.approx(hours)
    assert ("note" in plan["train"]) == (name != "scenes")


def test_expected_times_are_the_measured_rates_times_the_images(again, tmp_path) -> None:
    plan = dry(again, "coco2014", tmp_path, "--seeds", 2)
    train, test, expected = plan["train"]["images"], plan["test"]["images"], plan["expected"]
    views = plan["views_of_training_images"]
    seconds = (train * views + test) / expected["encoder_rate"]
    assert expected["features_hours"] == pytest.approx(seconds / 3600)
    rates, epochs = expected["rates"]["cnn-rnn"], plan["rows"]["cnn-rnn"]["epochs"]
    seconds = 2 * epochs * train / rates["train"] + (2 * 0.15 * train + 2 * test) / rates["answer"]
    assert expected["rows_hours"]["cnn-rnn"] == pytest.approx(seconds / 3600)
    assert expected["rates"]["knn"]["train"] is None


def test_an_encoder_that_cannot_be_built_here_has_no_expected_time(again, tmp_path) -> None:
    shown = again(
        "coco2014", "--root", tmp_path, "--encoder", "resnet5o", "--rows", "sigmoid", "--dry-run"
    ).stdout
    assert "expected on this machine: not known" in shown
    assert "the encoder cannot be built here" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["voc2017"], ("unknown benchmark 'voc2017'", "Did you mean 'voc2007'")),
        (["vectors:x.npz"], ("holds vectors", "labelbeam train --data")),
        (["coco2014"], ("needs --root DIR",)),
        (["coco2014", "--root", ".", "--rows", "cnnrnn"], ("unknown row", "cnn-rnn")),
        (["coco2014", "--root", ".", "--seeds", "0"], ("--seeds is 0",)),
        (["coco2014", "--root", ".", "--configurations", "0"], ("--configurations is 0",)),
        (["coco2014", "--root", ".", "--bootstrap", "1"], ("at least 2 draws",)),
        (
            ["coco2014", "--root", ".", "--recipe", "papers"],
            ("unknown --recipe 'papers'", "Did you mean 'paper'"),
        ),
        (["coco2014", "--root", "/nowhere"], ("/nowhere does not exist",)),
        (["scenes", "--test-split", "train"], ("are training images and test images",)),
        (["voc2007", "--root", ".", "--difficult", "maybe"], ("difficult", "absent")),
        (["coco2014", "--root", "/nowhere", "--dry-run", "--train-split", "x"], ("/nowhere does not exist",)),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(arguments, words, again, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = again(*arguments)
    assert result.exit_code == 2, result.output
    for word in words:
        assert word in result.output, result.output


def test_the_part_of_coco_at_hand_is_reproduced(again, labelbeam_data, tmp_path) -> None:
    arguments = (
        *("coco2014", "--root", labelbeam_data, "--train-split", "train2017", "--test-split", "val2017"),
        *("--weights", labelbeam_data / "weights" / "mobilenetv2_100.tf_in1k.safetensors"),
        *("--rows", "knn", "--bootstrap", 10, "--out", tmp_path / "out"),
    )
    plan = json.loads(again(*arguments, "--dry-run", "--json").stdout)
    told = json.loads(again(*arguments, "--json").stdout)
    assert plan["test"]["images"] == told["data"]["test_images"] == 79
    assert plan["test"]["exact_k_ceiling"] == told["protocols"]["ranked | all images"]["exact_k_ceiling"]
    assert not told["data"]["official_splits"]
    views = [block["view"] for block in told["protocols"].values() if block["protocol"] == "ranked"]
    truth = open_dataset(f"coco:{labelbeam_data / 'coco'}#val2017").targets
    assert len(views) == 1 + bool((~(truth == 1).any(axis=1)).any())
    assert 0.3 < told["measured"]["ranked | all images"]["knn"]["OF1"]["value"] < 1


def test_vocs_three_difficult_policies_are_three_truths(again, labelbeam_data, tmp_path) -> None:
    request = Request(BENCHMARKS["voc2007"], labelbeam_data, tmp_path, test_split="sub_test")
    ignored, absent, present = truth_views(request).values()
    unknown = ignored.targets == -1
    assert unknown.sum() == 42
    np.testing.assert_array_equal(np.where(unknown, 0, ignored.targets), absent.targets)
    np.testing.assert_array_equal(np.where(unknown, 1, ignored.targets), present.targets)
