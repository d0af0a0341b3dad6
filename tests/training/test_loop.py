"""The loop on a tiny problem: it learns, resumes exactly, repeats itself, and says when it diverges."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from labelbeam.errors import InputError
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.runs.recipe import Recipe, build_optimiser
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.loop import LOG, RESUME, fit, mean_nats

IMAGES, FEATURES, LABELS = 48, 6, 4


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.normal(size=(IMAGES, 2, FEATURES)).astype(np.float16)
    return features, (features[:, 0, :LABELS] > 0).astype(np.int8)


def train(folder: Path, recipe: Recipe, *, seed: int = 0, settings: str = "same", stop_after: int = 99):
    """Train a small label model with dropout; `stop_after` kills it after so many epochs."""
    torch.manual_seed(0)
    options = LabelModelOptions(embedding_size=4, hidden_size=5, projection_dropout=0.3)
    model = CNNRNN(LABELS, FEATURES, options)
    features, targets = data()
    batches = FeatureBatches(features, targets, recipe.batch_size, seed)
    held_out = FeatureBatches(features[:, :1], targets, 16, seed)

    def kill(row: dict[str, float]) -> None:
        if row["epoch"] >= stop_after:
            raise KeyboardInterrupt

    progress = fit(
        model,
        build_optimiser(recipe, model),
        batches,
        recipe=recipe,
        validate=lambda net: {"val_nats": mean_nats(net, held_out, device=torch.device("cpu"))},
        folder=folder,
        seed=seed,
        settings=settings,
        accelerator=Accelerator(cpu=True),
        after_epoch=kill,
    )
    return model, progress


RECIPES = [
    Recipe(epochs=5, batch_size=16),
    Recipe(epochs=5, batch_size=16, optimiser="rmsprop", schedule="constant"),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["adamw", "rmsprop"])
def test_a_killed_training_resumes_to_the_very_same_numbers(tmp_path: Path, recipe: Recipe) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir()
    halves.mkdir()
    straight, _ = train(whole, recipe)
    with pytest.raises(KeyboardInterrupt):
        train(halves, recipe, stop_after=2)
    resumed, progress = train(halves, recipe)
    assert progress.epoch == 5
    assert (whole / LOG).read_text() == (halves / LOG).read_text()
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(tmp_path: Path) -> None:
    logs = []
    for number, seed in enumerate((1, 1, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        train(folder, RECIPES[0], seed=seed)
        logs.append((folder / LOG).read_text())
    assert logs[0] == logs[1] != logs[2]


def test_training_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(0)
    train(tmp_path, Recipe(epochs=1))
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), expected)
    before = torch.get_rng_state()
    features, targets = data()
    list(FeatureBatches(features, targets, 8, 0).epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_loss_falls_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    model, progress = train(tmp_path, Recipe(epochs=30, batch_size=16, learning_rate=0.02))
    scores = [row["val_nats"] for row in progress.history]
    assert min(scores) < 0.7 * scores[0]
    features, targets = data()
    kept = mean_nats(model, FeatureBatches(features[:, :1], targets, 16, 0), device=torch.device("cpu"))
    assert kept == pytest.approx(min(scores), abs=1e-6)


def test_training_stops_when_the_validation_score_stalls(tmp_path: Path) -> None:
    _, progress = train(tmp_path, Recipe(epochs=200, batch_size=16, learning_rate=0.05, patience=3))
    assert progress.epoch == progress.best_epoch + 3 < 200


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, RECIPES[0], stop_after=1)
    with pytest.raises(InputError, match=r"made with other settings.*Use the settings it was made with"):
        train(tmp_path, RECIPES[0], settings="changed")
    assert (tmp_path / RESUME).exists()


def test_a_diverging_training_is_stopped_with_the_cure(tmp_path: Path) -> None:
    recipe = Recipe(optimiser="sgd", learning_rate=1e30, clip_norm=0.0, epochs=3)
    with pytest.raises(
        InputError, match=r"training diverged in epoch .*Lower the learning rate \(now 1e\+30\)"
    ):
        train(tmp_path, recipe)


def test_an_epoch_sees_every_image_once_and_processes_share_it() -> None:
    features = np.arange(10, dtype=np.float32).reshape(10, 1, 1)
    targets = np.zeros((10, 1), dtype=np.int8)
    one = [x for x, _ in FeatureBatches(features, targets, 4, seed=3).epoch(7)]
    assert sorted(torch.cat(one)[:, 0].tolist()) == list(range(10))
    parts = [
        [x for x, _ in FeatureBatches(features, targets, 4, seed=3, process=p, processes=2).epoch(7)]
        for p in (0, 1)
    ]
    both = [torch.stack((a, b), dim=1).reshape(-1, 1) for a, b in zip(*parts, strict=True)]
    assert torch.equal(torch.cat(both), torch.cat(one))


def test_recipe_problems_are_told_all_at_once() -> None:
    with pytest.raises(InputError, match=r"learning_rate is -1.*batch_size must be at least 1"):
        Recipe(learning_rate=-1.0, batch_size=0)
    with pytest.raises(InputError, match="Did you mean 'rmsprop'"):
        Recipe(optimiser="rmspropp")


def test_biases_do_not_decay_and_the_encoder_learns_at_its_share_of_the_rate() -> None:
    groups = build_optimiser(Recipe(encoder_rate=0.25), nn.Linear(2, 2), nn.Linear(2, 2)).param_groups
    assert [(g["weight_decay"], g["share"]) for g in groups] == [(1e-4, 1), (0, 1), (1e-4, 0.25), (0, 0.25)]
