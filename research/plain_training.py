"""Training without early stopping, on features that are there: what several benchmarks share."""

import numpy as np
import torch

from labelbeam.runs.recipe import Recipe, build_optimiser
from labelbeam.training.batches import FeatureBatches


def standardize(model: torch.nn.Module, features: np.ndarray) -> None:
    """Let a head scale features [images views features] to mean zero and variance one."""
    model.scaling.fit(features.reshape(-1, features.shape[2]))


def teach(
    model: torch.nn.Module, features: np.ndarray, targets: np.ndarray, *, recipe: Recipe, seed: int
) -> None:
    """Train a model for all epochs of a recipe; it is ready to answer then."""
    optimiser, step = build_optimiser(recipe, model), 0
    batches = FeatureBatches(features, targets, recipe.batch_size, seed)
    for epoch in range(recipe.epochs):
        for inputs, labels in batches.epoch(epoch):
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * recipe.rate_at(step, recipe.epochs * len(batches))
            model(inputs, labels).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
    model.eval()
