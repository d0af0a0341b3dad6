"""Promises from training to what `tag`, `evaluate`, `score` and an export say; refusals before any work."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from labelbeam.decoding.search import Search
from labelbeam.errors import InputError
from labelbeam.predict.decision import Decision
from labelbeam.predict.promise_kinds import selection_cut
from labelbeam.runs.run_directory import load_run
from labelbeam.runs.tagger import Tagger

EASY = ("--promise", "recall=0.3", "--sets-among", "0.5")


@pytest.fixture(scope="module", params=["sigmoid", "cnn-rnn"])
def promising(request, train, tmp_path_factory) -> Path:
    """A run that kept half of its 48 images aside."""
    folder = tmp_path_factory.mktemp("promising") / request.param
    return train(folder, "--head", request.param, "--calibrate-fraction", 0.5)


@pytest.fixture(scope="module")
def sure(promising, tmp_path_factory) -> Path:
    """A copy of the run, as if it were good: its paths were right, and true sets stood near the top of lists."""
    copy = Path(shutil.copytree(promising, tmp_path_factory.mktemp("sure") / "run"))
    promises = load_run(promising).promises
    paths = [one.paths | (np.arange(one.paths.shape[1]) == 0) for one in (promises.sample, promises.guide)]
    sample, guide = (
        replace(one, paths=path, truth=path.astype(np.int8), before=np.linspace(0, 0.9, len(one)))
        for one, path in zip((promises.sample, promises.guide), paths, strict=True)
    )
    found = replace(promises, sample=sample, guide=guide)
    save_file(found.arrays(), copy / "promises.safetensors", metadata=found.about())
    return copy


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_images_kept_aside_are_neither_trained_on_nor_looked_at(promising, train, tmp_path) -> None:
    run = load_run(promising)
    kept = len(run.promises.sample) + len(run.promises.guide)
    assert 20 <= kept <= 28
    metrics = json.loads((promising / "metrics.json").read_text())
    assert metrics["protocol"]["images"] + kept <= 48 - 15
    assert max(run.counts) <= 48 - kept - metrics["protocol"]["images"]


def test_tag_says_what_is_promised(sure, command, drawn) -> None:
    done = command("tag", sure, drawn, "--json", *EASY)
    assert done.exit_code == 0, done.output
    said = lines(done.stdout)
    assert len(said) == 60
    for one in said:
        assert one["promise"] == "recall >= 0.3 with confidence 0.95"
        assert one["sets"][0]["prob"] >= one["sets"][-1]["prob"]
    assert "promised: recall >= 0.3 with confidence 0.95, proven on " in done.stderr
    assert "the true set is among those listed with probability 0.5" in done.stderr


def test_tag_says_which_images_are_for_a_person(sure, command, drawn) -> None:
    done = command("tag", sure, drawn, "--json", "--unseen", 0.5)
    assert done.exit_code == 0, done.output
    people = sum(not one["unseen"] for one in lines(done.stdout))
    assert people < 60
    assert "promised: nobody needs to look at images whose set is at least" in done.stderr
    assert (f"{people} of 60 images are for a person" in done.stderr) == (people > 0)


def test_evaluate_says_whether_the_promise_was_kept_and_score_agrees(sure, command, drawn, tmp_path) -> None:
    files = {"--predictions": tmp_path / "p.jsonl", "--truth": tmp_path / "t.jsonl"}
    done = command(
        *("evaluate", sure, "--data", f"csv:{drawn / 'tags.csv'}", "--json", "--bootstrap", 0, *EASY),
        *(one for pair in files.items() for one in pair),
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["promises"]
    assert set(found) == {"labels", "sets"}
    assert found["sets"]["sets"]["mean"] >= 1
    again = command(
        *("score", "--truth", tmp_path / "t.jsonl", "--pred", tmp_path / "p.jsonl", "--json"),
        *("--promise", "recall=0.3"),
    )
    assert json.loads(again.stdout)["promises"]["labels"] == found["labels"]
    of_sets = command(
        *("score", "--truth", tmp_path / "t.jsonl", "--pred", tmp_path / "p.jsonl", "--json"),
        *("--sets-among", 0.5),
    )
    assert json.loads(of_sets.stdout)["promises"]["sets"] == found["sets"]
    shown = command(
        "score", "--truth", tmp_path / "t.jsonl", "--pred", tmp_path / "p.jsonl", "--promise", "recall=0.3"
    )
    assert "recall >= 0.3 with confidence 0.95: " in shown.stdout


def test_score_checks_images_unseen_and_lists_of_anybodys_predictions(command, tmp_path) -> None:
    truth, pred = tmp_path / "t.jsonl", tmp_path / "p.jsonl"
    truth.write_text(
        '{"image": "a", "labels": ["cat"]}\n{"image": "b", "labels": ["dog"], "unknown": ["cat"]}\n'
        '{"image": "c", "labels": []}\n'
    )
    listed = ([["cat"], []], [["cat", "dog"]], [["dog"], ["bird"]])
    said = (["cat"], ["dog"], ["dog"])
    pred.write_text(
        "".join(
            json.dumps(
                {
                    "image": image,
                    "labels": labels,
                    "unseen": image != "c",
                    "sets": [{"labels": one, "prob": 0.5} for one in sets],
                }
            )
            + "\n"
            for image, labels, sets in zip("abc", said, listed, strict=True)
        )
    )
    asked = ("score", "--truth", truth, "--pred", pred, "--unseen", 0.5, "--sets-among", 0.5, "--json")
    done = command(*asked)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["promises"]
    assert (found["unseen"]["value"], found["unseen"]["images"]) == (1.0, 2)
    assert (found["sets"]["value"], found["sets"]["sets"]["counts"]) == (2 / 3, {"1": 1, "2": 2})
    pred.write_text("".join(json.dumps({"image": image, "labels": []}) + "\n" for image in "abc"))
    for option, words in (("--unseen", "no line has 'unseen'"), ("--sets-among", "3 images have no 'sets'")):
        refused = command("score", "--truth", truth, "--pred", pred, option, 0.5)
        assert refused.exit_code == 2
        assert words in refused.stderr


def test_an_export_without_pytorch_makes_the_same_promise(sure, command, drawn, tmp_path) -> None:
    assert command("export", sure, "--to", "onnx", "--out", tmp_path / "onnx").exit_code == 0
    picture = sorted(drawn.glob("*.png"))[0]
    runs = (sure, tmp_path / "onnx")
    told = [lines(command("tag", run, picture, "--json", *EASY).stdout)[0] for run in runs]
    assert told[0]["promise"] == told[1]["promise"]
    assert [one["labels"] for one in told[0]["sets"]] == [one["labels"] for one in told[1]["sets"]]


def test_a_file_of_tags_and_its_page_say_which_images_are_for_a_person(
    sure, command, drawn, tmp_path
) -> None:
    out, page = tmp_path / "tags.csv", tmp_path / "page.html"
    done = command("tag", sure, drawn, "--out", out, "--page", page, "--unseen", 0.5)
    assert done.exit_code == 0, done.output
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    status = [row["status"] for row in rows]
    assert set(status) <= {"ok", "person"}
    assert {row["void"] for row in rows} <= {"0", "1"}
    if "person" in status:
        assert f"{status.count('person')} that a person should look at come first" in page.read_text()


def test_the_report_says_what_can_be_promised_what_became_of_it_and_what_a_plain_threshold_does(
    sure, finished, command, drawn, tmp_path
) -> None:
    page = tmp_path / "report.html"
    data = ("--data", f"csv:{drawn / 'tags.csv'}", "--bootstrap", 0, "--out", page)
    done = command("report", sure, *data)
    assert done.exit_code == 0, done.output
    found = json.loads(page.with_suffix(".json").read_text())["promises"]
    rows = {one["promise"].split(" with")[0]: one for one in found["of"]}
    assert found["images"] == len(load_run(sure).promises.sample)
    assert "recall >= 0.9" in rows
    assert all("refused" in one or one["images"] >= 0 for one in found["of"])
    assert rows["recall >= 0.9"]["plain"]["size"] > 0
    lists = found["of"][-1]
    assert sum(lists["sets"]["counts"].values()) == 60
    html = page.read_text()
    assert "What can be promised" in html
    assert "How long the lists of sets are" in html
    assert "plain reaches" in html
    without = command("report", finished, *data[:-1], tmp_path / "other.html")
    assert without.exit_code == 0, without.output
    assert "kept no images aside for promises" in (tmp_path / "other.html").read_text()


def test_images_for_nobody_are_chosen_among_all_when_the_promise_is_on_average(
    sure, command, drawn, tmp_path
) -> None:
    asked = ("--unseen", 0.5, "--on-average")
    out = {name: tmp_path / f"tags.{name}" for name in ("jsonl", "csv")}
    for name, file in out.items():
        page = ("--page", tmp_path / "page.html") if name == "csv" else ()
        done = command("tag", sure, drawn, "--out", file, *asked, *page)
        assert done.exit_code == 0, done.output
        assert "have exactly the right labels on average" in done.stderr
        assert "chosen when all images are tagged" in done.stderr
    found = lines(out["jsonl"].read_text())
    nobody = [one for one in found if one["unseen"]]
    least = min((one["sure"] for one in nobody), default=2.0)
    assert nobody == [one for one in found if not one.get("void") and one["sure"] >= least]
    tagger = Tagger.load(sure, decision=Decision(unseen=0.5, on_average=True))
    cut = selection_cut(
        0.5,
        tagger.promises.sample,
        None,
        np.array([one["sure"] if not one.get("void") else -np.inf for one in found]),
    )
    assert nobody == [one for one in found if not one.get("void") and one["sure"] >= cut]
    with out["csv"].open(encoding="utf-8", newline="") as file:
        status = [row["status"] for row in csv.DictReader(file)]
    assert status == ["ok" if one["unseen"] else "person" for one in found]
    people = status.count("person")
    assert (f"{people} of 60 images are for a person" in done.stderr) == (people > 0)
    if 0 < people < 60:
        assert f"{people} that a person should look at come first" in (tmp_path / "page.html").read_text()
    assert not list(tmp_path.glob("*.settled"))


@pytest.mark.parametrize(
    "more", [(), ("--json",), ("--out", "tags", "--format", "xmp"), ("--out", "t.jsonl", "--update")]
)
def test_what_cannot_wait_for_all_images_is_refused_where_they_are_chosen_together(
    sure, command, drawn, tmp_path, monkeypatch, more
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tags").mkdir()
    done = command("tag", sure, drawn, "--unseen", 0.5, "--on-average", *more)
    assert done.exit_code == 2
    assert "--out tags.jsonl, .csv or .parquet" in done.stderr


def test_sets_that_a_promise_decides_are_not_promised_unseen_by_the_same_images(sure, command, drawn) -> None:
    done = command("tag", sure, drawn, "--promise", "recall=0.3", "--unseen", 0.5)
    assert done.exit_code == 2
    assert "Ask for --unseen by itself" in done.stderr


def test_python_gets_the_same(sure, drawn) -> None:
    decision = Decision(rule="promise", promise="recall=0.3", on_average=True, sets_among=0.5)
    tagger = Tagger.load(sure, decision=decision)
    assert "recall >= 0.3 on average" in tagger.promised[0]
    prediction = next(tagger.tag([sorted(drawn.glob("*.png"))[0]]))
    assert prediction.sets
    assert prediction.promise == "recall >= 0.3 on average"


def test_an_odd_image_is_told_that_nothing_is_promised_and_goes_to_a_person(sure, monkeypatch) -> None:
    tagger = Tagger.load(sure, decision=Decision(unseen=0.5))
    answer, features = tagger.answer, np.zeros(tagger.run.encoder.num_features, dtype=np.float16)
    for fits, void in ((0.04, True), (0.5, False)):
        monkeypatch.setattr(
            tagger,
            "answer",
            lambda values, fits=fits: replace(answer(values), fits=np.full(len(values), fits)),
        )
        prediction = next(tagger.tag_features([("a.jpg", features)]))
        assert prediction.void == void
        assert not (prediction.unseen and void)
        assert ('"void": true' in prediction.to_json()) == void


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--promise", "precision=0.99"), ["precision 0.99", "at least 299"]),
        (("--promise", "recall=0.99"), ["recall 0.99", "at least 299 calibration images"]),
        (("--sets-among", "0.99"), ["at least 99 calibration images"]),
        (
            ("--promise", "recall=0.3", "--threshold", "0.5"),
            ["--promise recall=0.3", "Leave one of them out"],
        ),
        (("--promise", "recall=0.3", "--abstain", "0.1"), ["abstain", "Leave abstain out"]),
        (("--decide", "expected-f1", "--unseen", "0.5"), ["expected-f1"]),
        (("--decide", "promise"), ["give both"]),
    ],
)
def test_what_cannot_be_promised_is_refused_before_any_work(
    promising, command, drawn, options, words
) -> None:
    done = command("tag", promising, drawn, "--json", *options)
    assert done.exit_code == 2
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


def test_a_run_without_calibration_images_says_how_to_get_some(finished, command, drawn) -> None:
    done = command("tag", finished, drawn, "--promise", "recall=0.3")
    assert done.exit_code == 2
    assert "--calibrate SPEC or --calibrate-fraction" in done.stderr


def test_another_search_than_was_calibrated_voids_the_promise(promising) -> None:
    decision = Decision(rule="promise", promise="recall=0.3")
    if load_run(promising).config.head == "cnn-rnn":
        with pytest.raises(InputError, match="searched otherwise"):
            Tagger.load(promising, decision=decision, search=Search(expansions=5))


def test_calibration_images_that_were_trained_on_are_refused(command, drawn, encoder_file, tmp_path) -> None:
    spec = f"csv:{drawn / 'tags.csv'}#train"
    done = command(
        *("train", "--data", spec, "--calibrate", spec, "--out", tmp_path / "run", "--weights", encoder_file)
    )
    assert done.exit_code == 2
    assert "learned by heart" in done.stderr


def test_damaged_promises_are_named(promising, tmp_path, command, drawn) -> None:
    copy = Path(shutil.copytree(promising, tmp_path / "copy"))
    (copy / "promises.safetensors").write_bytes(b"nothing")
    done = command("tag", copy, drawn)
    assert done.exit_code == 2
    assert "promises.safetensors" in done.stderr


def test_implied_labels_are_refused_where_precision_is_promised(sure, command, drawn, tmp_path) -> None:
    rules = tmp_path / "rules.txt"
    label = load_run(sure).vocabulary.names
    rules.write_text(f"{label[0]} -> {label[1]}\n")
    done = command("tag", sure, drawn, "--unseen", "0.5", "--implications", rules)
    assert done.exit_code == 2
    assert "Leave --implications out" in done.stderr
