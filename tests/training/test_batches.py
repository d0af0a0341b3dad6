"""Batches of pixels: order and mirroring are drawn from seed and epoch, and what is mirrored is mirrored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from labelbeam.data.dataset import Dataset
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.heads.label_scores_torch import SigmoidHead
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.runs.config import configure
from labelbeam.runs.recipe import DataSize, recipe_for
from labelbeam.training import batches as module
from labelbeam.training import train as train_module
from labelbeam.training.batches import ImageBatches
from labelbeam.training.loop import Progress

COUNT = 24


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures whose left half says their number and whose right half is black."""
    folder = tmp_path_factory.mktemp("halves")
    for i in range(COUNT):
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[:, :4] = 10 * (i + 1)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return sorted(folder.iterdir())


def drawn(
    files: list[Path], *, seed: int = 0, epoch: int | None = 0, flips: bool = True
) -> list[tuple[int, bool]]:
    """Return number and mirroring of each picture of an epoch; None: in order."""
    targets = np.eye(COUNT, dtype=np.int8)
    batches = ImageBatches(files, targets, Preprocess(8, "squash"), batch_size=7, seed=seed, flips=flips)
    parts = list(batches.in_order() if epoch is None else batches.epoch(epoch))
    pixels, rows = (torch.cat(one) for one in zip(*parts, strict=True))
    assert len(parts) == len(batches)
    halves = torch.stack([pixels[:, 0, :, :4].mean((1, 2)), pixels[:, 0, :, 4:].mean((1, 2))])
    dark = float(pixels.min())
    found = []
    for i in range(COUNT):
        left, right = halves[:, i].tolist()
        assert (left == pytest.approx(dark, abs=1e-5)) != (right == pytest.approx(dark, abs=1e-5))
        found.append((int(rows[i].argmax()), right > left))
    brightness = halves.max(dim=0).values[np.argsort([number for number, _ in found])]
    assert (brightness.diff() > 0).all(), "the targets are another picture's"
    return found


@pytest.mark.parametrize("keep", [2**30, 0], ids=["decoded once", "decoded each epoch"])
def test_order_and_mirroring_are_drawn_from_seed_and_epoch(
    files: list[Path], keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_BYTES", keep)
    first = drawn(files)
    assert drawn(files) == first
    assert sorted(number for number, _ in first) == list(range(COUNT))
    assert 4 < sum(mirrored for _, mirrored in first) < 20
    for other in (drawn(files, epoch=1), drawn(files, seed=1)):
        assert [number for number, _ in other] != [number for number, _ in first]
        assert dict(other) != dict(first)


def test_nothing_is_mirrored_in_order_or_where_flips_are_off(files: list[Path]) -> None:
    assert drawn(files, epoch=None) == [(i, False) for i in range(COUNT)]
    assert not any(mirrored for _, mirrored in drawn(files, flips=False))


def test_a_cut_picture_is_a_part_of_it_and_another_part_in_another_epoch(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 64, axis=0)
    Image.fromarray(np.repeat(ramp, 3, axis=2)).save(tmp_path / "ramp.png")
    paths, targets = [tmp_path / "ramp.png"], np.ones((1, 1), np.int8)

    def columns(crop: float, epoch: int | None) -> torch.Tensor:
        batches = ImageBatches(
            paths, targets, Preprocess(16, "squash"), batch_size=1, seed=0, flips=False, crop=crop
        )
        ((pixels, _),) = batches.in_order() if epoch is None else batches.epoch(epoch)
        return pixels[0, 0].mean(dim=0)

    whole = columns(1.0, 0)
    assert torch.equal(columns(0.3, None), whole), "what is validated on is cut"
    first, second = columns(0.3, 0), columns(0.3, 1)
    assert not torch.equal(first, second)
    for cut in (first, second):
        assert (cut.diff() > 0).all()
        assert 0.25 < (cut[-1] - cut[0]) / (whole[-1] - whole[0]) < 1
    assert torch.equal(columns(0.3, 0), first)


def test_statistics_of_a_pretrained_encoder_stay_while_it_learns() -> None:
    encoder = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Flatten())
    for keep in (True, False):
        model = module.EndToEnd(encoder, SigmoidHead(1, 12), keep_statistics=keep).train()
        assert model.head.training
        assert encoder[0].training != keep


@pytest.mark.parametrize(("keep", "times"), [(2**30, 1), (0, 2)], ids=["that fit", "that do not fit"])
def test_pictures_that_fit_into_memory_are_decoded_once(
    files: list[Path], keep: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(module, "KEEP_BYTES", keep)
    decode = module.read_rgb
    monkeypatch.setattr(
        module, "read_rgb", lambda path, **options: (read.append(path), decode(path, **options))[1]
    )
    batches = ImageBatches(
        files, np.ones((COUNT, 1), np.int8), Preprocess(8, "squash"), batch_size=7, seed=0, flips=True
    )
    for epoch in (0, 1):
        assert sum(len(pixels) for pixels, _ in batches.epoch(epoch)) == COUNT
    assert sorted(read) == sorted(files * times)


def test_a_training_from_pixels_has_the_cuts_mirroring_and_sizes_of_its_configuration(
    files: list[Path],
) -> None:
    targets = np.ones((COUNT, 1), np.int8)
    data = Dataset("made", files[0].parent, tuple(one.name for one in files), Vocabulary(("a",)), targets)
    config = configure(
        options={
            **{"head": "sigmoid", "train_encoder": True, "crop": 0.4, "flips": False, "seed": 5},
            "recipe": {"batch_size": 7},
        }
    )
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    prepared = module.prepare_batches(
        config, data, data, encoder, SigmoidHead(1, encoder.num_features), Accelerator(cpu=True)
    )
    for batches in prepared[1:3]:
        assert isinstance(batches, ImageBatches)
        found = (batches.crop, batches.flips, batches.batch_size, batches.seed, batches.targets.tolist())
        assert found == (0.4, False, 7, 5, targets.tolist())


def test_a_head_that_learns_first_is_taught_as_one_of_a_frozen_encoder_is(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = np.ones((COUNT, 1), np.int8)
    data = Dataset("made", files[0].parent, tuple(one.name for one in files), Vocabulary(("a",)), targets)
    config = configure(
        options={
            **{"head": "sigmoid", "train_encoder": True, "head_first": True, "seed": 5},
            "recipe": {"batch_size": 7, "epochs": 3},
        }
    )
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    wanted = recipe_for(DataSize(COUNT, encoder.num_features, 1), "sigmoid", local=False)["recipe"]
    seen: dict[str, Any] = {}

    def fit(model: object, optimiser: object, batches: object, **options: Any) -> Progress:
        seen.update(options | {"batches": batches, "model": model})
        return Progress()

    monkeypatch.setattr(train_module, "fit", fit)
    head = SigmoidHead(1, encoder.num_features)
    train_module._teach_head(config, head, data, data, encoder, Accelerator(cpu=True), lambda line: None)
    assert seen["model"] is head
    assert isinstance(seen["batches"], module.FeatureBatches)
    assert seen["batches"].batch_size == wanted["batch_size"] != 7
    assert {name: getattr(seen["recipe"], name) for name in wanted} == wanted
    assert (seen["seed"], seen["folder"]) == (5, None)
    assert seen["validate"](head).keys() == {"val_nats"}


def test_cuts_stretch_a_side_against_the_other_by_up_to_a_third() -> None:
    windows = module.random_windows(np.random.default_rng(0), 2000, 0.3)
    stretch = windows[:, 2] / windows[:, 3]
    assert 0.75 - 1e-9 <= stretch.min() < 0.76
    assert 1.32 < stretch.max() <= 4 / 3 + 1e-9
