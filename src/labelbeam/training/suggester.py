"""Training of a label model's second opinion: an any-subset head on the same features, and which of the two is better.

Trained at the end of a label model's training; both then predict held-out images' labels from some that are given, and
the lower log-loss decides which of them `suggest` asks. What was measured stays in the run.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Int8
from torch import nn

from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_scores import TrainedAnySubset
from labelbeam.heads.label_scores_torch import AnySubsetHead
from labelbeam.labels.vocabulary import drawn_evidence
from labelbeam.metrics.calibration import remaining_nats
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.runs.build import build_head
from labelbeam.runs.config import RunConfig
from labelbeam.runs.recipe import build_optimiser
from labelbeam.runs.run_directory import Suggester, suggester_config
from labelbeam.suggest import ANY_SUBSET, LIKELIHOOD_WEIGHTING, by_head, by_search
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.loop import fit

ACCEPTED = (0, 1, 2)
"""How many labels of an image are accepted when the mechanisms are compared, as far as it has so many; beside
them one absent label is rejected."""

MOST_IMAGES = 500
"""Held-out images asked about, at most; the search takes milliseconds for each."""

LEAST_IMAGES = 20
"""With fewer held-out images a comparison says nothing: the label model is asked then."""


def train_suggester(
    config: RunConfig,
    train: FeatureBatches,
    held_out: FeatureBatches,
    answerer: LabelModelAnswerer,
    *,
    accelerator: Accelerator,
    folder: Path,
    settings: str,
    report: Callable[[str], None] = lambda line: None,
) -> Suggester:
    """Train an any-subset head on a label model's features and compare the two.

    Args:
        config: of the label model's run.
        held_out: its validation features; they stop the training and decide which mechanism is better.
        folder: where an interrupted training is found again; made if it is not there.
        settings: what must not differ between the two halves of a resumed training.
        report: called with what was found, in a sentence.

    Raises:
        InputError: the loss is not finite.
    """
    own = suggester_config(config)
    built = build_head(
        own, num_labels=train.targets.shape[1], feature_size=answerer.step.scaling.num_features
    )
    head = cast(AnySubsetHead, built)
    head.scaling.fit(train.flat)
    head.start_from(torch.from_numpy(train.targets.copy()))
    features = held_out.averaged()
    folder.mkdir(exist_ok=True)

    evidence = _evidence_of(held_out.targets, config.seed)

    def validate(_: nn.Module) -> dict[str, float]:
        now = _answering(head)
        losses = _losses(lambda given: by_head(now, features, given).score, held_out.targets, evidence)
        return {"val_nats": sum(losses.values()) / len(losses)}

    fit(
        head,
        build_optimiser(own.recipe, head),
        train,
        recipe=own.recipe,
        validate=validate,
        folder=folder,
        seed=config.seed,
        settings=settings,
        accelerator=accelerator,
    )
    answering = _answering(head)
    # Images as they come: judged only on those with several labels, a mechanism that never says "that is all" wins.
    asked = np.sort(np.random.default_rng(config.seed).permutation(len(features))[:MOST_IMAGES])
    features, targets = features[asked], held_out.targets[asked]
    if len(asked) < LEAST_IMAGES:
        report(f"suggestions ask the label model: {len(asked)} held-out images are too few to compare.")
        return Suggester(answering, LIKELIHOOD_WEIGHTING, {}, len(asked), config.seed)
    evidence = _evidence_of(targets, config.seed)
    found = {
        LIKELIHOOD_WEIGHTING: _losses(
            lambda given: by_search(answerer, features, given).score, targets, evidence
        ),
        ANY_SUBSET: _losses(lambda given: by_head(answering, features, given).score, targets, evidence),
    }
    means = {name: sum(losses.values()) / len(losses) for name, losses in found.items()}
    better = min(means, key=lambda name: means[name])
    shown = ", ".join(f"{name} {nats:.3f}" for name, nats in means.items())
    report(
        f"suggestions ask {better}: nats per image of the labels not given, {len(asked)} held-out images: {shown}"
    )
    return Suggester(answering, better, found, len(asked), config.seed)


def _answering(head: AnySubsetHead) -> TrainedAnySubset:
    return cast(TrainedAnySubset, trained(head))


def _evidence_of(targets: Int8[np.ndarray, "images labels"], seed: int) -> dict[str, np.ndarray]:
    """Draw evidence about images, by how many labels are accepted; one absent label is rejected beside them."""
    return {
        str(accepted): drawn_evidence(
            targets, accepted=accepted, rejected=min(accepted, 1), seed=seed + accepted
        )
        for accepted in ACCEPTED
    }


def _losses(
    conditional: Callable[[np.ndarray], np.ndarray],
    targets: Int8[np.ndarray, "images labels"],
    evidence: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Return nats per image of the labels not given, by how many are."""
    return {
        accepted: float(remaining_nats(conditional(given), targets, given).mean())
        for accepted, given in evidence.items()
    }
