"""Fixtures of the tests of verbs and joints: sixty drawn pictures in a CSV file, a small encoder, trained runs.

Imported by the conftest.py of both folders. Nothing here touches the user's cache.
"""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

SMALL = ("--set", "label_model.hidden_size=32")
"""So that the tests are fast; the sizes of the paper are tested with the model."""

SHORT = ("--epochs", 2, "--batch-size", 16)

Command = Callable[..., Result]


@pytest.fixture(scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of this session's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELBEAM_CACHE", str(own_cache))


@pytest.fixture(scope="session")
def command(own_cache: Path) -> Command:
    """`labelbeam ARGUMENTS…` in this process; returns exit code, stdout and stderr."""
    from labelbeam.cli.app import app

    def run(*arguments: object, **options: object) -> Result:
        # Session fixtures run before `_cache` has set it; a test's own setting stays.
        environment = {"LABELBEAM_CACHE": os.environ.get("LABELBEAM_CACHE", str(own_cache))}
        done = CliRunner(env=environment).invoke(app, [str(one) for one in arguments], **options)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception  # a defect of ours: show where
        return done

    return run


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A folder of 60 scenes with `tags.csv` (image, tags, split: 48 train, 12 test)."""
    from labelbeam.scenes.files import read_scenes

    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABELBEAM_CACHE", str(own_cache))
        scenes = read_scenes("train", count=60)
    with (folder / "tags.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "tags", "split"])
        for i in range(60):
            example = scenes.example(i)
            shutil.copyfile(example.path, folder / example.image)
            writer.writerow([example.image, ";".join(example.present), "train" if i < 48 else "test"])
    return folder


@pytest.fixture(scope="session")
def encoder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest `tiny` encoder, 32 features of 32 x 32 pixels, as labelbeam itself writes one."""
    from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
    from labelbeam.encoders.image_encoder import save_encoder

    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    return save_encoder(encoder, tmp_path_factory.mktemp("encoder") / "tiny.safetensors")


def usual_options(options: tuple[object, ...]) -> tuple[object, ...]:
    """The options of a small training that the head in some options can use."""
    head = options[options.index("--head") + 1] if "--head" in options else "cnn-rnn"
    if head in ("cnn-rnn", "no-rnn"):
        return (*SHORT, *SMALL)
    return () if head == "knn" else SHORT


@pytest.fixture(scope="session")
def train(command: Command, drawn: Path, encoder_file: Path) -> Callable[..., Path]:
    """Train a run on the drawn pictures: `train(folder, *options)`, two epochs where not said otherwise."""

    def run(folder: Path, *options: object) -> Path:
        done = command(
            *("train", "--data", f"csv:{drawn / 'tags.csv'}#train", "--out", folder),
            *("--weights", encoder_file, *usual_options(options), *options),
        )
        assert done.exit_code == 0, done.output
        return folder

    return run


@pytest.fixture(scope="session")
def finished(train: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with the head cnn-rnn; not to be changed."""
    return train(tmp_path_factory.mktemp("runs") / "cnn-rnn")


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may spoil."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))


TAUGHT = {"ant": 0.1, "bee": 0.5, "cat": 0.2, "dog": 0.35, "elk": 0.15}
"""Labels and roughly how often each is present: in another order by name than by number."""

TAUGHT_ROWS = {"train": 600, "val": 150, "test": 150}


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of vectors whose labels follow from eight numbers, nearly always; no dog without a bee."""
    random = np.random.default_rng(7)
    features = random.normal(size=(sum(TAUGHT_ROWS.values()), 8)).astype(np.float32)
    cuts = np.quantile(features, [1 - share for share in TAUGHT.values()], axis=0).diagonal()
    labels = (features[:, : len(TAUGHT)] > cuts).astype(np.int8)
    labels[:, 3] &= labels[:, 1]
    labels ^= (random.random(labels.shape) < 0.01).astype(np.int8)
    file = tmp_path_factory.mktemp("taught") / "rows.npz"
    split = np.repeat([*TAUGHT_ROWS], [*TAUGHT_ROWS.values()])
    np.savez(file, features=features, labels=labels, names=np.array([*TAUGHT]), split=split)
    return file


@pytest.fixture(scope="session")
def learned(command: Command, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned, and gone on too long: its best epoch is not its last. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "learned"
    done = command(
        *("train", "--data", f"vectors:{taught}#train", "--val", f"vectors:{taught}#val", "--out", folder),
        *("--epochs", 24, "--batch-size", 32, "--learning-rate", 0.02),
        *("--set", "recipe.patience=0", "--set", "recipe.weight_decay=0"),
        *("--set", "recipe.schedule=constant", "--set", "members=1", *SMALL),
        *("--set", "label_model.image_hidden_dropout=0", "--set", "label_model.projection_dropout=0"),
    )
    assert done.exit_code == 0, done.output
    return folder
