"""Models of real label sets without pixels, their configurations, and how each is fitted: for `label_statistics.py`.

Knows label matrices on disk; knows nothing of what is measured.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from bernoulli import IndependentLabels
from bernoulli_mixture import BernoulliMixture
from made import MADE
from nade import NADE
from torch import nn

from labelbeam.heads.chow_liu import ChowLiuTree
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.heads.sequences_torch import PAD, distinct_prefixes, sequences_of
from labelbeam.labels.vocabulary import order_labels
from labelbeam.runs.recipe import Recipe, build_optimiser

SMOOTHINGS = (0.1, 1.0, 3.0, 10.0)
STEPS = 80
"""To an epoch: a batch is an eightieth of the training images, so that large data sets are no slower to learn."""
FILES = {"coco80": "is_val2014", "nuswide81": "is_test"}

LogProb = Callable[[np.ndarray], np.ndarray]
"""Label sets [images labels] to log p(set), nats."""


@dataclass(frozen=True)
class Taught:
    """A network's configuration: its own options and the recipe's."""

    options: dict
    epochs: int = 12
    learning_rate: float = 1e-2


def label_model(hidden: int, size: int, dropout: float, **recipe: float) -> Taught:
    """Name what varies between the label model's configurations."""
    options = {"hidden_size": hidden, "embedding_size": size, "projection_dropout": dropout}
    return Taught(options, **recipe)


def no_rnn(size: int, activation: str) -> Taught:
    """The label model, its recurrence replaced by a sum of label embeddings (the paper's Table 3)."""
    return Taught({"cell": "none", "embedding_size": size, "activation": activation}, epochs=16)


def nade(hidden: int, **recipe: float) -> Taught:
    """A pass costs less than the label model's: more epochs."""
    return Taught({"hidden_size": hidden}, epochs=16, **recipe)


def made(hidden: tuple[int, ...], dropout: float, **recipe: float) -> Taught:
    return Taught({"hidden_sizes": hidden, "dropout": dropout}, epochs=16, **recipe)


NETWORKS: dict[str, list[Taught]] = {
    "label model": [
        label_model(64, 64, 0.0),
        label_model(128, 64, 0.0),
        label_model(128, 64, 0.0, learning_rate=2e-2),
        label_model(128, 128, 0.1),
        label_model(128, 128, 0.1, learning_rate=2e-2),
        label_model(128, 128, 0.1, learning_rate=4e-2),
        label_model(256, 128, 0.1),
        label_model(256, 128, 0.1, learning_rate=2e-2),
    ],
    "No RNN": [
        no_rnn(64, "identity"),
        no_rnn(128, "identity"),
        no_rnn(64, "relu"),
        no_rnn(128, "relu"),
    ],
    "NADE": [
        nade(128),
        nade(256),
        nade(256, learning_rate=4e-3),
        nade(256, learning_rate=2e-2),
        nade(256, learning_rate=4e-2),
        nade(256, learning_rate=8e-2),
        nade(512, learning_rate=2e-2),
        nade(512, learning_rate=4e-2),
    ],
    "MADE": [
        made((256,), 0.0),
        made((512,), 0.0),
        made((512,), 0.2),
        made((512,), 0.0, learning_rate=4e-3),
    ],
}
"""Configurations by model: as many for each, and four more for the two that tie for the lead."""

COUNTED: dict[str, list[dict]] = {
    "independent": [{"smoothing": s} for s in SMOOTHINGS],
    "Chow-Liu tree": [{"smoothing": s} for s in SMOOTHINGS],
    "mixture": [{"components": k} for k in (32, 64, 128, 256)],
}


@dataclass(frozen=True)
class LabelSets:
    """A split label matrix, columns as in the file."""

    training: np.ndarray  # int8 [images labels]
    held_out: np.ndarray
    name: str
    tried: np.ndarray = field(init=False)  # a tenth of the training images
    learned: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        order = np.random.default_rng(0).permutation(len(self.training))
        tenth = len(order) // 10
        object.__setattr__(self, "tried", self.training[order[:tenth]])
        object.__setattr__(self, "learned", self.training[order[tenth:]])


def read(root: Path, name: str) -> LabelSets:
    with np.load(root / "labels" / f"{name}_labels.npz") as file:
        labels, held_out = file["labels"].astype(np.int8), file[FILES[name]] == 1
    return LabelSets(labels[~held_out], labels[held_out], name)


class LabelsOnly(nn.Module):
    """The label model, told the same of every image."""

    def __init__(self, num_labels: int, **options: float) -> None:
        super().__init__()
        self.model = CNNRNN(num_labels, 1, LabelModelOptions(**options))

    def forward(self, targets: torch.Tensor) -> torch.Tensor:
        """Return -log p(set) in nats: `CNNRNN.forward` without its padding, which is most of a batch here."""
        model, sequences = self.model, sequences_of(targets)
        prefixes = distinct_prefixes(sequences, model.num_labels)
        taught = sequences != PAD
        said = nn.functional.pad(sequences[:, :-1], (1, 0), value=-1)[
            taught
        ]  # the label before, -1 at the start
        o = model.prefix_vectors(prefixes.levels)[prefixes.rows[taught]]  # [tokens embedding]
        I = model.image_vectors(torch.ones(1, 1)).expand(len(o), -1)  # noqa: E741  the paper's letter
        x = model.h(model.projection_dropout(o) + model.projection_dropout(I))
        allowed = torch.arange(model.num_labels + 1) > said[:, None]
        logits = (x @ model.U_l.T).masked_fill(~allowed, -torch.inf)  # [tokens outcomes]
        nats = nn.functional.cross_entropy(logits, sequences[taught], reduction="none")
        return nats.new_zeros(len(targets)).index_add(0, taught.nonzero()[:, 0], nats)


def build(family: str, num_labels: int, options: dict, seed: int) -> nn.Module:
    if family in ("label model", "No RNN"):
        return LabelsOnly(num_labels, **options)
    if family == "NADE":
        return NADE(num_labels, **options)
    return MADE(num_labels, generator=torch.Generator().manual_seed(seed), **options)


def start_from(model: nn.Module, sets: np.ndarray, counts: np.ndarray) -> None:
    """Let the rivals' output biases start at the labels' log-odds: without it they learn slowly."""
    p = (counts @ sets + 0.5) / (counts.sum() + 1)
    odds = torch.from_numpy(np.log(p / (1 - p))).float()
    if isinstance(model, NADE):
        model.b.data.copy_(odds)
    if isinstance(model, MADE):
        model.V.bias.data.copy_(odds)
        model.A.bias.data.zero_()


def teach(family: str, config: Taught, training: np.ndarray, order: str, seed: int) -> LogProb:
    """Train a network on label sets whose columns it puts into an order of its own."""
    columns = order_labels(training, order, seed=seed)
    sets, which = np.unique(training[:, columns], axis=0, return_inverse=True)
    torch.manual_seed(seed)
    model = build(family, sets.shape[1], config.options, seed)
    start_from(model, sets, np.bincount(which))
    recipe = Recipe(
        learning_rate=config.learning_rate,
        batch_size=-(-len(which) // STEPS),
        epochs=config.epochs,
        warmup=0.05,
    )
    optimiser, random = build_optimiser(recipe, model), np.random.default_rng(seed)
    for step in range(recipe.epochs * STEPS):
        if step % STEPS == 0:
            shuffled = random.permutation(which)
        begin = step % STEPS * recipe.batch_size
        # Images with the same set share its nats: each distinct set is computed once.
        ids, counts = np.unique(shuffled[begin : begin + recipe.batch_size], return_counts=True)
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * recipe.rate_at(step, recipe.epochs * STEPS)
        nats = model(torch.from_numpy(sets[ids]))
        (nats @ torch.from_numpy(counts).float() / counts.sum()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
    model.eval()

    @torch.no_grad()
    def log_prob(asked: np.ndarray) -> np.ndarray:
        parts = np.array_split(asked[:, columns], max(1, len(asked) // 2048))
        return -np.concatenate([model(torch.from_numpy(part.copy())).double().numpy() for part in parts])

    return log_prob


def fit(family: str, config: Taught | dict, training: np.ndarray, order: str, seed: int) -> LogProb:
    """Fit any model."""
    if isinstance(config, Taught):
        return teach(family, config, training, order, seed)
    if family == "independent":
        return IndependentLabels.fit(training, **config).log_prob
    if family == "Chow-Liu tree":
        return ChowLiuTree.fit(training, **config).log_prob
    return BernoulliMixture.fit(training, **config, generator=np.random.default_rng(seed)).log_prob


def configurations(family: str) -> list:
    return NETWORKS[family] if family in NETWORKS else COUNTED[family]
