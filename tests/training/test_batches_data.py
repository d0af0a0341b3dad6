"""What a run is trained on: which images are held out or set aside, in which order labels stand, what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.runs.config import RunConfig, configure
from labelbeam.training.batches import about_nothing, doubts, order_seed, training_data


def made(count: int = 200, spec: str = "made") -> Dataset:
    """Images a, b and c of 60, 20 and 5 percent."""
    targets = (np.random.default_rng(0).random((count, 3)) < [0.6, 0.2, 0.05]).astype(np.int8)
    return Dataset(
        spec, Path("there"), tuple(f"{i}.png" for i in range(count)), Vocabulary(tuple("abc")), targets
    )


def asked(**options: object) -> RunConfig:
    return configure(options={"head": "cnn-rnn", "validation_fraction": 0.2, **options})


def listing(path: Path, rows: dict[str, str]) -> str:
    path.write_text(
        "image,tags\n" + "".join(f"{name},{tags}\n" for name, tags in rows.items()), encoding="utf-8"
    )
    return f"csv:{path}"


def test_a_share_is_held_out_a_share_is_set_aside_and_every_image_has_one_place() -> None:
    data = made()
    train, held_out, aside = training_data(asked(promise_fraction=0.25), (data, None))
    assert held_out is not None
    assert aside is not None
    assert (len(aside), len(held_out), len(train)) == (50, 30, 120)
    assert sorted(train.images + held_out.images + aside.images) == sorted(data.images)
    again, *_ = training_data(asked(promise_fraction=0.25), (data, None))
    other, *_ = training_data(asked(promise_fraction=0.25, seed=3), (data, None))
    assert again.images == train.images != other.images
    whole, none, no_promise = training_data(asked(validation_fraction=0.0), (data, None))
    assert (whole.images, none, no_promise) == (data.images, None, None)


def test_columns_stand_in_label_order_in_every_part_and_hold_what_they_held() -> None:
    data, given = made(), made(40, "given")
    train, held_out, _ = training_data(asked(order="rare"), (data, given))
    assert held_out is not None
    assert train.images == data.images
    assert tuple(train.vocabulary) == tuple(held_out.vocabulary) == ("c", "b", "a")
    np.testing.assert_array_equal(train.targets, data.targets[:, ::-1])
    np.testing.assert_array_equal(held_out.targets, given.targets[:, ::-1])
    assert order_seed(asked(seed=7)) == 7
    assert order_seed(asked(seed=7, order_seed=2)) == 2


def test_too_few_images_and_images_without_a_label_are_refused() -> None:
    ten, nine = made(10), made(9)
    assert len(training_data(asked(), (ten, None))[0]) == 8
    with pytest.raises(InputError, match="has 9 images, too few"):
        training_data(asked(), (nine, None))
    with pytest.raises(InputError, match="no image has a label"):
        training_data(asked(), (replace(ten, targets=np.zeros((10, 3), np.int8)), None))


def test_images_that_promises_are_proven_on_are_no_training_images(tmp_path: Path) -> None:
    rows = {f"{i}.png": "a" if i % 2 else "b" for i in range(30)}
    train = listing(tmp_path / "train.csv", rows)
    apart = listing(tmp_path / "apart.csv", {f"{i}.png": "a|b" if i % 2 else "b" for i in range(30, 50)})
    both = listing(tmp_path / "both.csv", {"29.png": "a", "30.png": "b"})
    for one in range(50):
        (tmp_path / f"{one}.png").write_bytes(b"")
    config = replace(asked(), data=train)
    *_, aside = training_data(replace(config, promise_data=apart))
    assert aside is not None
    assert len(aside) == 20
    with pytest.raises(InputError, match="1 of the 2 calibration images"):
        training_data(replace(config, promise_data=both))


def test_doubts_name_what_hardly_anything_can_be_learned_of() -> None:
    data = made()
    assert doubts(data) == []
    targets = data.targets.copy()
    targets[:, 2] = 0
    assert doubts(replace(data, targets=targets)) == [
        "labels that no training image has, never to be predicted: c"
    ]
    targets[:, 1] = np.where(targets[:, 1] == 1, 1, -1)
    found = doubts(replace(data, targets=targets))
    assert [line.split(" ")[0] for line in found] == [f"{(targets == -1).mean():.0%}", "labels", "labels"]
    assert "predict them: b." in found[1]
    assert doubts(replace(data, targets=targets), weight=0.25)[0].startswith(
        "a missing tag counts as absent with weight 0.25"
    )


def test_where_every_training_image_shows_something_the_run_says_what_becomes_of_those_that_do_not() -> None:
    data = made()
    shown = replace(data, targets=np.maximum(data.targets, np.int8([1, 0, 0])))
    apart = {"label_model": {"nothing": "independent", "per_label": 1.0}}
    taught = {"label_model": {"nothing": "taught"}}
    assert about_nothing(asked(**taught), data) == []
    assert "always finds one" in about_nothing(asked(**taught), shown)[0]
    assert "--nothing 0.2" in about_nothing(asked(**apart), shown)[0]
    assert about_nothing(asked(head="sigmoid"), shown) == []
    with pytest.raises(InputError, match="nothing"):
        about_nothing(asked(search={"nothing": 0.2}, **taught), data)
