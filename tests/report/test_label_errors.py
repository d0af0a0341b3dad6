import json

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.report.label_errors import cleanlab_values, fiftyone_samples, label_errors


def noisy(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with a tenth turned over, probabilities that know the truth, and which were turned."""
    rng = np.random.default_rng(seed)
    clean = rng.random((200, 5)) < 0.4
    turned = rng.random(clean.shape) < 0.1
    probs = np.clip(np.where(clean, 0.85, 0.15) + 0.1 * rng.standard_normal(clean.shape), 0.01, 0.99)
    return (clean ^ turned).astype(np.int8), probs, turned


def test_the_turned_labels_are_found() -> None:
    targets, probs, turned = noisy()
    found = label_errors(targets, probs).found
    assert sum(turned[one.image, one.label] for one in found) / len(found) > 0.9
    assert sum(turned[one.image, one.label] for one in found) / turned.sum() > 0.4
    assert [one.confidence for one in found] == sorted(one.confidence for one in found)


def test_errors_and_qualities_are_those_of_a_plain_loop() -> None:
    targets, probs, _ = noisy(1)
    targets[::7, 2] = -1
    found = label_errors(targets, probs)
    expected = set()
    for j in range(5):
        column, p = targets[:, j], probs[:, j]
        least_present, least_absent = p[column == 1].mean(), (1 - p[column == 0]).mean()
        for i in range(200):
            there, gone = p[i] >= least_present, 1 - p[i] >= least_absent
            looks = 1 if there and (not gone or p[i] >= 0.5) else 0 if gone else column[i]
            if column[i] != -1 and looks != column[i]:
                expected.add((i, j))
    assert {(one.image, one.label) for one in found.found} == expected
    for i in range(200):
        own = sorted(
            (1.0 if t == -1 else p if t else 1 - p for t, p in zip(targets[i], probs[i], strict=True)),
            reverse=True,
        )
        average = own[0]
        for confidence in own[1:]:
            average = 0.8 * confidence + 0.2 * average
        assert found.quality[i] == pytest.approx(average)


def test_cleanlab_agrees_where_it_is_installed() -> None:
    cleanlab = pytest.importorskip("cleanlab.multilabel_classification", reason="compares with cleanlab")
    filters = pytest.importorskip("cleanlab.multilabel_classification.filter")
    targets, probs, _ = noisy(2)
    labels = [np.flatnonzero(row == 1).tolist() for row in targets]
    ours = label_errors(targets, probs)
    assert ours.quality == pytest.approx(cleanlab.get_label_quality_scores(labels, probs))
    theirs = filters.find_label_issues(labels, probs, filter_by="confident_learning", n_jobs=1)
    assert sorted(ours.issues()) == np.flatnonzero(theirs).tolist()


def test_a_label_that_no_image_has_is_suspected_nowhere() -> None:
    targets = np.zeros((4, 1), dtype=np.int8)
    assert label_errors(targets, np.array([[0.9], [0.1], [0.1], [0.1]])).found == ()


def test_the_shapes_of_cleanlab_and_fiftyone_hold_the_same_errors() -> None:
    targets, probs, _ = noisy()
    errors, names, images = label_errors(targets, probs), list("abcde"), [f"{i}.jpg" for i in range(200)]
    told = cleanlab_values(errors, targets, names=names, images=images)
    assert told["labels"][0] == np.flatnonzero(targets[0] == 1).tolist()
    assert sorted(told["issues"]) == sorted({one.image for one in errors.found})
    scores = [told["label_quality_scores"][i] for i in told["issues"]]
    assert scores == sorted(scores)
    assert len(told["label_issues"]) == len(errors.found)
    samples = json.loads(json.dumps(fiftyone_samples(errors, targets, probs, names=names, paths=images)))[
        "samples"
    ]
    suspected = sum(
        len(one[field]["classifications"])
        for one in samples
        for field in ("possibly_wrong", "possibly_missing")
    )
    assert suspected == len(errors.found)
    assert {i for i, one in enumerate(samples) if one["tags"]} == set(errors.issues())
    assert samples[0]["ground_truth"]["_cls"] == "Classifications"


@pytest.mark.parametrize(
    ("probs", "words"),
    [
        (np.ones((2, 2)), "same shape"),
        (np.array([[1.5]]), "calibrate"),
        (np.array([[np.nan]]), "calibrate"),
    ],
)
def test_what_is_no_probability_is_refused(probs, words) -> None:
    with pytest.raises(InputError, match=words):
        label_errors(np.ones((1, 1), dtype=np.int8), probs)


def test_fewer_errors_may_be_asked_for_and_the_others_are_counted() -> None:
    rng = np.random.default_rng(0)
    targets, probs = rng.integers(-1, 2, (60, 5), dtype=np.int8), rng.random((60, 5))
    every, first = label_errors(targets, probs), label_errors(targets, probs, most=4)
    assert first.found == every.found[:4]
    assert len(every.found) == first.missing + first.wrong == every.missing + every.wrong
    assert first.wrong == sum(one.given for one in every.found)
    assert first.images_with_errors == len(every.issues())
