"""A label of which no image is known to be without it is neither trained nor scored as if it were."""

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.metrics.comparison import Protocol, compare
from labelbeam.metrics.evaluation import evaluate
from labelbeam.runs.config import RunConfig, configure
from labelbeam.training.batches import doubts, training_data

SOME = np.array([[1, -1], [-1, 1], [1, 1], [-1, -1]] * 5, np.int8)


def labelled(tmp_path, targets) -> Dataset:
    images = tuple(f"{i}.png" for i in range(len(targets)))
    return Dataset("made:up", tmp_path, images, Vocabulary(("cat", "dog")), targets)


def test_data_in_which_nothing_is_known_to_be_absent_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="of none of its 2 labels is an image known to be without it"):
        training_data(RunConfig(data="made:up"), (labelled(tmp_path, SOME), None))


def test_one_such_label_among_others_is_named(tmp_path) -> None:
    targets = SOME.copy()
    targets[0, 1] = 0
    train, _, _ = training_data(
        RunConfig(data="made:up", validation_fraction=0.0), (labelled(tmp_path, targets), None)
    )
    assert [line for line in doubts(train) if "them: cat. Leave" in line]


def test_a_label_that_every_image_is_known_to_have_is_no_reason_to_refuse(tmp_path) -> None:
    targets = np.ones((20, 2), np.int8)
    targets[::2, 1] = 0
    assert training_data(RunConfig(data="made:up"), (labelled(tmp_path, targets), None))


def test_such_a_label_has_no_average_precision_and_no_part_in_the_mean() -> None:
    truth = np.array([[1, 1], [-1, 0], [1, 1], [-1, 0]], np.int8)
    scores = np.array([[0.1, 0.2], [0.9, 0.9], [0.2, 0.8], [0.8, 0.1]])
    found = evaluate(compare(truth, ["only-present", "both"], protocol=Protocol("none"), scores=scores))
    assert found.per_class["only-present"].ap_area is None
    assert found["mAP_area"] == found.per_class["both"].ap_area < 1
    whole = evaluate(compare(np.abs(truth), ["always", "both"], protocol=Protocol("none"), scores=scores))
    assert whole.per_class["always"].ap_area == 1  # as scikit-learn has it


def test_missing_tags_that_are_unlikely_are_learned_from(tmp_path) -> None:
    config = configure(head="sigmoid", options={"data": "made:up", "read": {"missing_tags": "unlikely"}})
    train, _, _ = training_data(config, (labelled(tmp_path, SOME), None))
    assert doubts(train, 0.5) == ["a missing tag counts as absent with weight 0.5 (--set missing_weight=…)."]


def test_nothing_is_promised_on_images_of_which_nothing_is_known_to_be_absent(tmp_path) -> None:
    options = {"data": "made:up", "read": {"missing_tags": "unlikely"}, "promise_fraction": 0.3}
    with pytest.raises(InputError, match="nothing can be promised"):
        training_data(configure(head="sigmoid", options=options), (labelled(tmp_path, SOME), None))


def test_images_named_for_validation_are_fully_labelled_and_that_is_reported(tmp_path) -> None:
    for name in ("train", "val"):
        rows = "".join(f"{name}{i}.jpg,{'cat' if i % 2 else 'dog'}\n" for i in range(20))
        (tmp_path / f"{name}.csv").write_text("image,tags\n" + rows)
    read = {"missing_tags": "unlikely", "missing": "keep"}
    options = {
        "data": f"csv:{tmp_path / 'train.csv'}",
        "validation": f"csv:{tmp_path / 'val.csv'}",
        "read": read,
    }
    train, held_out, _ = training_data(configure(head="sigmoid", options=options))
    assert set(np.unique(train.targets)) == {-1, 1}
    assert set(np.unique(held_out.targets)) == {0, 1}
    assert any("taken to be fully labelled" in note for note in held_out.notes)


def test_where_nothing_is_known_to_be_absent_precision_is_no_number() -> None:
    truth = np.array([[1, -1], [-1, 1]], np.int8)
    scores = np.array([[0.9, 0.8], [0.1, 0.9]])
    found = evaluate(compare(truth, ["a", "b"], protocol=Protocol("threshold", threshold=0.5), scores=scores))
    assert found["OR"] == 1
    assert found["OP"] is found["OF1"] is found["subset_accuracy"] is found["MAP@10"] is None
    assert "known what is absent" in found.reasons["OP"]
    assert found.per_class["a"].precision is None
    assert found.per_class["a"].recall == 1
