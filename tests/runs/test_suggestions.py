import doctest
import json
from pathlib import Path

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.heads.label_scores import TrainedAnySubset
from labelbeam.runs.tagger import Tagger

ROOT = Path(__file__).resolve().parents[2]
MECHANISMS = {
    "cnn-rnn": "likelihood-weighting",
    "any-subset": "any-subset",
    "sigmoid": "sigmoid",
}


@pytest.fixture(scope="module")
def runs(finished, train, tmp_path_factory) -> dict[str, Path]:
    """One run for each mechanism."""
    folder = tmp_path_factory.mktemp("runs")
    others = {name: train(folder / name, "--head", name) for name in ("any-subset", "sigmoid")}
    return {"cnn-rnn": finished, **others}


@pytest.fixture(scope="module")
def taggers(runs) -> dict[str, Tagger]:
    return {name: Tagger.load(run) for name, run in runs.items()}


@pytest.fixture(scope="module")
def picture(drawn) -> Path:
    return next(path for path in sorted(drawn.iterdir()) if path.suffix != ".csv")


@pytest.fixture(scope="module")
def vector(taggers, picture) -> np.ndarray:
    """The picture's features."""
    return extract([picture], taggers["cnn-rnn"].run.encoder).values[0]


def by_label(found) -> dict[str, float]:
    return {one.label: one.score for one in found}


@pytest.mark.parametrize("head", MECHANISMS)
def test_suggestions_are_the_most_probable_unknown_labels_and_name_their_mechanism(
    taggers, vector, head
) -> None:
    tagger = taggers[head]
    known, rejected = tagger.labels[0], tagger.labels[2]
    found = tagger.suggest(vector, accepted=[known], rejected=[rejected], count=5)
    assert found.mechanism == MECHANISMS[head]
    assert (found.accepted, found.rejected, len(found)) == ((known,), (rejected,), 5)
    assert {known, rejected}.isdisjoint(by_label(found))
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= one.low <= one.score <= one.high <= 1 and one.stderr >= 0 for one in found)
    everything = tagger.suggest(vector, accepted=[known], rejected=[rejected], count=1000)
    assert len(everything) == len(tagger.labels) - 2
    assert [one.label for one in everything][:5] == [one.label for one in found]


@pytest.mark.parametrize("head", ["cnn-rnn", "any-subset"])
def test_without_evidence_suggestions_are_the_scores_that_tagging_gives(taggers, vector, head) -> None:
    tagger = taggers[head]
    scores = by_label(tagger.suggest(vector, count=1000))
    answered = tagger.answer(vector[None])
    for i, label in enumerate(tagger.labels):
        slack = 4 * float(answered.stderr[0, i]) + (0.1 if head == "cnn-rnn" else 0) + 1e-6
        assert abs(scores[label] - float(answered.scores[0, i])) <= slack


@pytest.mark.parametrize("head", MECHANISMS)
def test_only_heads_that_know_of_label_sets_are_moved_by_evidence(taggers, vector, head) -> None:
    tagger = taggers[head]
    known = tagger.labels[-1]
    before = by_label(tagger.suggest(vector, count=1000))
    after = by_label(tagger.suggest(vector, accepted=[known], count=1000))
    moved = max(abs(before[label] - after[label]) for label in after)
    assert (moved > 1e-4) == (head != "sigmoid")


def test_a_sigmoid_run_says_plainly_that_evidence_has_no_effect(taggers, vector) -> None:
    note = taggers["sigmoid"].suggest(vector).note
    for words in ("'sigmoid'", "each label by itself", "does not change", "--head cnn-rnn or any-subset"):
        assert words in note
    assert taggers["any-subset"].suggest(vector).note == ""


def test_a_label_model_tells_how_probable_the_evidence_is(taggers, vector) -> None:
    tagger = taggers["cnn-rnn"]
    label = tagger.labels[0]
    found = tagger.suggest(vector, accepted=[label])
    alone = by_label(tagger.suggest(vector, count=1000))[label]
    assert found.evidence == pytest.approx(alone, abs=0.1)
    assert json.loads(found.to_json("x"))["evidence"] == pytest.approx(found.evidence, rel=1e-4)


def test_an_image_and_its_stored_features_give_the_same_suggestions(taggers, picture, vector) -> None:
    tagger = taggers["cnn-rnn"]
    assert tagger.suggest(picture) == tagger.suggest(vector) == tagger.suggest(str(picture))
    assert vector.dtype == np.float16


def test_an_any_subset_run_is_saved_loaded_and_tags_as_a_sigmoid_head(taggers, picture) -> None:
    tagger = taggers["any-subset"]
    assert isinstance(tagger.run.head, TrainedAnySubset)
    assert tagger.run.config.head == "any-subset"
    (prediction,) = tagger.tag([picture], all_scores=True)
    assert not prediction.error
    assert prediction.exact
    for label, score in by_label(tagger.suggest(picture, count=1000)).items():
        assert score == pytest.approx(prediction.scores[label], abs=1e-6)


def test_an_any_subset_run_is_evaluated_by_the_same_verb(runs, command, drawn) -> None:
    data = f"csv:{drawn / 'tags.csv'}#test"
    done = command("evaluate", runs["any-subset"], "--data", data, "--json")
    assert done.exit_code == 0, done.output
    assert 0 < json.loads(done.stdout)["mAP_area"] <= 1


def test_an_any_subset_run_is_not_searched_and_has_no_joint_space(runs, command, picture) -> None:
    for arguments in (
        ["tag", runs["any-subset"], picture, "--beam", 3],
        ["neighbors", runs["any-subset"], "--image", picture],
    ):
        done = command(*arguments)
        assert done.exit_code == 2
        assert "'any-subset'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"accepted": ["sqare"]}, ["unknown label 'sqare'"]),
        ({"accepted": [0], "rejected": [0]}, ["both accepted and rejected"]),
        ({"count": 0}, ["count is 0", "at least 1"]),
        ({"image": np.zeros(3, np.float32)}, ["floating-point numbers", "[3]", "same run"]),
        ({"image": "int"}, ["floating-point numbers", "int64"]),
        ({"image": "nan"}, ["NaN or infinity"]),
    ],
)
def test_what_cannot_be_suggested_for_is_an_error(taggers, vector, arguments, words) -> None:
    tagger = taggers["cnn-rnn"]
    images = {"int": np.zeros(len(vector), int), "nan": vector + np.float16(np.nan)}
    given = {name: [tagger.labels[i] if i == 0 else i for i in value] if isinstance(value, list) else value
             for name, value in arguments.items()}  # fmt: skip
    image = given.pop("image", vector)
    with pytest.raises(InputError) as error:
        tagger.suggest(images[image] if isinstance(image, str) else image, **given)
    assert [word for word in words if word not in str(error.value)] == []


def test_the_page_s_example_runs(runs, picture) -> None:
    labels = Tagger.load(runs["cnn-rnn"]).labels
    names = {"run": runs["cnn-rnn"], "picture": picture, "accepted": labels[0], "rejected": labels[1]}
    page = ROOT / "docs" / "suggestions.md"
    assert page.name == "suggestions.md"
    failed, tried = doctest.testfile(str(page), module_relative=False, globs=names)
    assert (failed, tried > 4) == (0, True)
