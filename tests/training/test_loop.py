"""The loop on a tiny problem: it learns, resumes exactly, repeats itself, and says when it diverges."""

from dataclasses import replace
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
from labelbeam.training.loop import (
    LOG,
    RESUME,
    Progress,
    _dropout_seed,
    fit,
    load_checkpoint,
    mean_nats,
    save_checkpoint,
)

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
    Recipe(epochs=5, batch_size=16, average=0.8),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["adamw", "rmsprop", "averaged"])
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


class Weighted(nn.Module):
    """Nats are a weight's value times what comes in, so every gradient is what comes in."""

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return inputs @ self.weight


def fitted(
    model: nn.Module,
    recipe: Recipe,
    inputs: np.ndarray,
    *,
    seed: int = 0,
    validate=None,
    optimiser=None,
    learned: bool = False,
):
    """Fit a model to inputs [images size], without files."""
    targets = np.zeros((len(inputs), 1), np.int8)
    return fit(
        model,
        optimiser or build_optimiser(recipe, model),
        FeatureBatches(inputs[:, None].astype(np.float32), targets, recipe.batch_size, seed),
        recipe=recipe,
        validate=validate,
        folder=None,
        seed=seed,
        settings="",
        accelerator=Accelerator(cpu=True),
        learned=learned,
    )


PLAIN = Recipe(
    optimiser="sgd", momentum=0.0, weight_decay=0.0, schedule="constant", clip_norm=0.0, learning_rate=0.1
)


def test_the_loss_of_images_that_were_not_trained_on_falls(tmp_path: Path) -> None:
    model, _ = train(tmp_path, Recipe(epochs=30, batch_size=16, learning_rate=0.02))
    torch.manual_seed(0)
    features, targets = data(seed=1)
    unseen = FeatureBatches(features[:, :1], targets, 16, 0)
    before = CNNRNN(LABELS, FEATURES, LabelModelOptions(embedding_size=4, hidden_size=5)).eval()
    nats = [mean_nats(one, unseen, device=torch.device("cpu")) for one in (before, model)]
    assert nats[1] < 0.7 * nats[0]


@pytest.mark.parametrize(("scores", "best"), [([3.0, 1.0, 2.0, 1.0], 2), ([3.0, 2.0, 1.0, 4.0], 3)])
def test_the_best_epoch_is_kept_and_not_the_last(scores: list[float], best: int) -> None:
    model, seen = Weighted(), []

    def validate(net: nn.Module) -> dict[str, float]:
        seen.append(float(net.weight))
        return {"val_nats": scores[len(seen) - 1], "another": -len(seen)}

    progress = fitted(model, replace(PLAIN, epochs=4), np.ones((8, 1)), validate=validate)
    assert len({*seen}) == 4
    assert (progress.best_epoch, progress.best_score) == (best, 1.0)
    assert float(model.weight) == seen[best - 1]


def test_what_was_learned_before_is_kept_where_no_epoch_is_better() -> None:
    for scores, kept in (([1.0, 2.0, 3.0], 0), ([2.0, 3.0, 1.0], 2)):
        model, left = Weighted(), iter(scores)
        nn.init.constant_(model.weight, 5.0)
        recipe = replace(PLAIN, epochs=2)
        progress = fitted(
            model, recipe, np.ones((8, 1)), validate=lambda net, left=left: {"v": next(left)}, learned=True
        )
        assert progress.best_epoch == kept
        assert (float(model.weight) == 5.0) == (kept == 0)


def test_the_average_is_judged_and_kept_and_the_training_goes_on_without_it() -> None:
    """Gradients of 1 at a rate of 0.1: after n updates the weight is -n / 10, whatever the average is."""
    seen: list[float] = []

    def validate(net: nn.Module) -> dict[str, float]:
        seen.append(float(net.weight))
        return {"v": -float(len(seen))}

    model = Weighted()
    fitted(model, replace(PLAIN, epochs=2, batch_size=4, average=0.5), np.ones((8, 1)), validate=validate)
    average, expected = 0.0, []
    for update in (1, 2, 3, 4):
        average = 0.5 * average + 0.5 * (-update / 10)
        expected.append(average)
    assert seen == pytest.approx([expected[1], expected[3]])
    assert float(model.weight) == pytest.approx(expected[3])


def test_the_best_epoch_survives_a_kill_after_it(tmp_path: Path) -> None:
    model, torn = Weighted(), build_optimiser(PLAIN, Weighted())
    progress = Progress(3, 1, 0.5, [{"epoch": 1}], {"weight": torch.tensor([7.0])})
    save_checkpoint(tmp_path / RESUME, progress, model.state_dict(), torn, settings="s")
    again = load_checkpoint(tmp_path / RESUME, model, build_optimiser(PLAIN, model), settings="s")
    assert (again.epoch, again.best_epoch, again.best_score) == (3, 1, 0.5)
    assert again.best["weight"].tolist() == [7.0]
    assert float(model.weight) == 0.0


@pytest.mark.parametrize(("clip", "moved"), [(0.5, 0.05), (0.0, 1.0), (1000.0, 1.0)])
def test_gradients_are_clipped_to_the_norm_and_only_where_it_is_set(clip: float, moved: float) -> None:
    model = Weighted(2)
    fitted(model, replace(PLAIN, epochs=1, clip_norm=clip), np.tile([6.0, 8.0], (4, 1)))
    assert float(model.weight.detach().norm()) == pytest.approx(moved, rel=1e-4)


@pytest.mark.parametrize("share", [0.25, 0.0])
def test_the_encoder_moves_by_its_share_of_the_rate(share: float) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = Weighted(), Weighted()

        def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return self.encoder(inputs, targets) + self.head(inputs, targets)

    model, recipe = Both(), replace(PLAIN, epochs=1, encoder_rate=share)
    fitted(model, recipe, np.ones((4, 1)), optimiser=build_optimiser(recipe, model.head, model.encoder))
    assert float(model.head.weight) == pytest.approx(-0.1)
    assert float(model.encoder.weight) == pytest.approx(-0.1 * share)


def test_the_rate_follows_the_schedule_step_by_step() -> None:
    model, recipe = Weighted(), replace(PLAIN, epochs=2, batch_size=2, schedule="cosine", warmup=0.25)
    fitted(model, recipe, np.ones((8, 1)))
    assert float(model.weight) == pytest.approx(-0.1 * sum(recipe.rate_at(step, 8) for step in range(8)))


def masks(seed: int, epochs: int = 2, process: int = 0) -> list[list[bool]]:
    """Return what dropout kept in each epoch of a training."""

    class Recording(Weighted):
        kept: list[list[bool]] = []  # noqa: RUF012  of this class, made anew by each call

        def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            if self.training:
                self.kept.append((nn.functional.dropout(torch.ones(64), 0.5) > 0).tolist())
            return super().forward(inputs, targets)

    fitted(Recording(), replace(PLAIN, epochs=epochs), np.ones((4, 1)), seed=seed)
    return Recording.kept


def test_dropout_is_drawn_from_seed_and_epoch() -> None:
    first, second = masks(seed=1)
    assert masks(seed=1) == [first, second]
    assert first != second
    assert masks(seed=2)[0] not in (first, second)


def test_every_process_has_dropout_of_its_own() -> None:
    drawn = [_dropout_seed(seed, epoch, process) for seed in (0, 1) for epoch in (0, 1) for process in (0, 1)]
    assert len({*drawn}) == 8
    assert _dropout_seed(3, 4, 0) == _dropout_seed(3, 4, 0)


def test_order_and_views_of_an_epoch_are_drawn_from_seed_and_epoch() -> None:
    features = np.arange(80, dtype=np.float32).reshape(40, 2, 1)
    targets = np.zeros((40, 1), np.int8)

    def drawn(seed: int, epoch: int) -> tuple[list[int], list[int]]:
        x = torch.cat([one for one, _ in FeatureBatches(features, targets, 16, seed).epoch(epoch)])[
            :, 0
        ].int()
        return (x // 2).tolist(), (x % 2)[(x // 2).argsort()].tolist()

    order, views = drawn(3, 0)
    assert drawn(3, 0) == (order, views)
    assert 8 < sum(views) < 32
    for other in (drawn(3, 1), drawn(4, 0)):
        assert other[0] != order
        assert other[1] != views


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


def test_recipe_problems_are_reported_all_at_once() -> None:
    with pytest.raises(InputError, match=r"learning_rate is -1.*batch_size must be at least 1"):
        Recipe(learning_rate=-1.0, batch_size=0)
    with pytest.raises(InputError, match="Did you mean 'rmsprop'"):
        Recipe(optimiser="rmspropp")


def test_biases_do_not_decay_and_the_encoder_learns_at_its_share_of_the_rate() -> None:
    groups = build_optimiser(Recipe(encoder_rate=0.25), nn.Linear(2, 2), nn.Linear(2, 2)).param_groups
    assert [(g["weight_decay"], g["share"]) for g in groups] == [(1e-4, 1), (0, 1), (1e-4, 0.25), (0, 0.25)]
