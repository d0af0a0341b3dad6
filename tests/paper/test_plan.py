"""The plan of a reproduction: fair configurations, commands that make the same runs, digests."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from labelbeam.demo import head_config
from labelbeam.errors import InputError
from labelbeam.heads.registry import HEADS
from labelbeam.paper.plan import BENCHMARKS, Request, planned, tries
from labelbeam.paper.result import run_digest
from labelbeam.paper.rows import (
    IN_THE_TABLE,
    LARGE,
    MANY_IMAGES,
    ORDERS_AND_LOSSES,
    ROWS,
    configurations,
    rows_named,
)
from labelbeam.runs.config import configure, to_plain


def request_of(name: str = "coco2014", **more) -> Request:
    return Request(BENCHMARKS[name], Path("/data"), Path("out"), **more)


@pytest.mark.parametrize("row", ORDERS_AND_LOSSES)
def test_orders_and_losses_get_the_configurations_of_the_papers_row_and_differ_in_nothing_else(row) -> None:
    ours, theirs = (
        tries(request_of(configurations=4), name, training_images=10) for name in ("cnn-rnn", row)
    )
    assert [run.settings for run in ours] == [run.settings for run in theirs]
    assert not ROWS[row].settings.keys() - {"order", "label_model"}
    plain = replace(theirs[1].config, order="frequent", label_model=ours[1].config.label_model)
    assert plain == ours[1].config
    assert theirs[1].config != ours[1].config


@pytest.mark.parametrize("head", HEADS)
def test_every_row_gets_as_many_different_configurations_and_the_fixed_one_first(head) -> None:
    found = configurations(configure(head=head), 6)
    assert len(found) == 6
    assert found[0] == {}
    assert len({str(one) for one in found}) == 6
    assert found[:3] == configurations(configure(head=head), 3)


def test_many_images_are_regularised_less_and_few_are_trained_by_the_default_recipe() -> None:
    few, many = (
        planned(request_of(), "cnn-rnn", configuration=0, settings={}, seed=0, training_images=images).config
        for images in (MANY_IMAGES - 1, MANY_IMAGES)
    )
    assert few.recipe == configure(head="cnn-rnn").recipe
    assert many.recipe.weight_decay == LARGE["recipe"]["weight_decay"]
    assert many.label_model.feature_dropout == 0.3
    assert not many.flips


@pytest.mark.parametrize("head", ["cnn-rnn", "sigmoid-mlp"])
def test_the_scenes_are_trained_by_the_demos_recipe(head) -> None:
    request = Request(BENCHMARKS["scenes"], None, Path("out"))
    config = planned(request, head, configuration=0, settings={}, seed=0, training_images=8000).config
    demo = head_config(head, Path("out/runs/encoder"))
    own = ("label_model", "sigmoid") if head == "cnn-rnn" else ("sigmoid",)  # a head is given what it uses
    for part in (*own, "recipe", "encoder", "validation", "flips"):
        assert getattr(config, part) == getattr(demo, part), part


@pytest.mark.parametrize(
    ("name", "row", "more"),
    [
        ("coco2014", "cnn-rnn", {}),
        ("coco2014", "knn", {"configurations": 3}),
        ("voc2007", "sigmoid-mlp", {"configurations": 4, "recipe": "paper", "read": {"difficult": "absent"}}),
        ("voc2007", "no-rnn", {"encoder": {"weights": Path("w.safetensors"), "size": 288}}),
        ("scenes", "chow-liu", {}),
        ("scenes", "order-easiest", {}),
        *(("coco2014", row, {"configurations": 2}) for row in ORDERS_AND_LOSSES),
        ("voc2007", "order-shuffle", {"recipe": "paper"}),
    ],
)
def test_the_printed_command_trains_the_configuration_that_is_planned(
    name, row, more, command, monkeypatch, tmp_path
) -> None:
    request = Request(BENCHMARKS[name], None if name == "scenes" else tmp_path, tmp_path / "out", **more)
    seen = []

    class SeenError(Exception):
        pass

    def remember(config, *_, **__):
        seen.append(config)
        raise SeenError

    monkeypatch.setattr("labelbeam.training.train.train_run", remember)
    runs = tries(request, row, training_images=MANY_IMAGES)
    for run in runs:
        words = shlex.split(run.command(request.recipe))
        assert words[:2] == ["labelbeam", "train"]
        with pytest.raises(SeenError):
            command(*words[1:])
        assert to_plain(seen[-1]) == to_plain(run.config)


def test_a_runs_digest_changes_with_configuration_labels_and_weights(tmp_path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"one")

    def digest(seed: int = 0, labels: str = "a") -> str:
        request = request_of(encoder={"weights": weights})
        run = planned(request, "sigmoid", configuration=0, settings={}, seed=seed, training_images=10)
        return run_digest(run, labels)

    first = digest()
    assert digest() == first
    assert len({first, digest(seed=1), digest(labels="b")}) == 3
    weights.write_bytes(b"two")
    assert digest() != first


def test_rows_stand_in_the_order_of_the_tables_and_a_wrong_one_is_named() -> None:
    assert rows_named("cnn-rnn, knn") == ("knn", "cnn-rnn")
    assert rows_named(None) == tuple(IN_THE_TABLE)
    assert rows_named("all") == tuple(ROWS)
    with pytest.raises(InputError, match="Did you mean 'softmax'"):
        rows_named("sofmax")
    with pytest.raises(InputError, match="names no row"):
        rows_named(" ,")
