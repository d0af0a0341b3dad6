"""Candidates for "nothing fits", measured on foreign pictures; `decisions.py` runs it.

Every candidate gives each image a number, its oddness; `validation` images say how odd is too odd. Which one
labelbeam uses is decided by leaving labels out (images of labels that training never saw), not by the foreign
pictures.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from labelbeam.predict.answers import Answers
from labelbeam.predict.fitness import ALPHA, Fitness, fit_feature_space, oddness
from labelbeam.runs.build import Head

Oddness = Callable[[Answers, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Measured:
    """One candidate against one kind of foreign pictures."""

    auroc: float
    refused: float  # share of foreign pictures
    refused_own: float  # share of the model's own test pictures


def scaled(head: Head, features: np.ndarray) -> np.ndarray:
    """Return features as the head scales them."""
    return head.scaling(features)


def candidates(training: np.ndarray) -> dict[str, Oddness]:
    """Return every candidate, by name; `training`: scaled features of training images."""
    space = fit_feature_space(training)
    mean = training.mean(axis=0)
    _, values, rows = np.linalg.svd(training - mean, full_matrices=False)
    count = min(64, len(training) // 8)
    variances, directions = values[:count] ** 2 / len(training), rows[:count]
    rest = max(float((values[count:] ** 2).sum()) / len(training) / (training.shape[1] - count), 1e-6)
    units = training / np.linalg.norm(training, axis=1, keepdims=True)

    def mahalanobis(answers: Answers, features: np.ndarray) -> np.ndarray:
        centred = features - mean
        within = centred @ directions.T
        outside = (centred**2).sum(axis=1) - (within**2).sum(axis=1)
        return (within**2 / variances).sum(axis=1) + outside / rest

    def nearest(answers: Answers, features: np.ndarray) -> np.ndarray:
        alike = features @ units.T / np.linalg.norm(features, axis=1, keepdims=True)
        return -np.sort(alike, axis=1)[:, -5]

    def scores(answers: Answers) -> np.ndarray:
        return np.clip(answers.scores.astype(np.float64), 1e-7, 1 - 1e-7)

    def entropy(answers: Answers, features: np.ndarray) -> np.ndarray:
        p = scores(answers)
        return -(p * np.log(p) + (1 - p) * np.log1p(-p)).sum(axis=1)

    made: dict[str, Oddness] = {
        "labelbeam: energy + outside": lambda answers, features: oddness(answers, features, space),
        "joint energy": lambda answers, features: oddness(answers, features, None),
        "largest marginal": lambda answers, features: -scores(answers).max(axis=1),
        "entropy of marginals": entropy,
        "log p of the path": lambda answers, features: -answers.log_probs,
        "norm of features": lambda answers, features: (features**2).mean(axis=1),
        "Mahalanobis distance": mahalanobis,
        "5th nearest, cosine": nearest,
    }
    if space is not None:
        made["outside the space"] = lambda answers, features: space.outside(features)
    return made


def auroc(own: np.ndarray, foreign: np.ndarray) -> float:
    """Return the chance that a foreign picture is odder than one of one's own; ties count half."""
    ranked = np.sort(own)
    below = np.searchsorted(ranked, foreign, side="left") + np.searchsorted(ranked, foreign, side="right")
    return float(below.mean() / 2 / len(own))


def measure(
    made: Mapping[str, Oddness],
    answer: Callable[[np.ndarray], Answers],
    *,
    head: Head,
    validation: np.ndarray,
    test: np.ndarray,
    foreign: Mapping[str, np.ndarray],
) -> dict[str, dict[str, Measured]]:
    """Measure candidates against each kind of foreign pictures; arrays are features as the encoder gives them."""
    said = {name: (answer(x), scaled(head, x)) for name, x in {"v": validation, "t": test, **foreign}.items()}
    result: dict[str, dict[str, Measured]] = {}
    for name, odd in made.items():
        own = odd(*said["t"])
        # The p-value needs the oddness of validation images alone, whatever the oddness is.
        kept = Fitness(tuple(np.sort(odd(*said["v"])).tolist()), None)
        refused_own = float((kept.p_values(own) <= ALPHA).mean())
        result[name] = {}
        for kind in foreign:
            found = odd(*said[kind])
            refused = float((kept.p_values(found) <= ALPHA).mean())
            result[name][kind] = Measured(auroc(own, found), refused, refused_own)
    return result


def made_pictures(folder: Path, *, each: int = 40) -> dict[str, list[Path]]:
    """Write pictures that show nothing: noise, one colour, smooth blends of colours."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    paths: dict[str, list[Path]] = {"noise": [], "blank": [], "blends": []}
    for i in range(each):
        pixels = {
            "noise": random.integers(0, 256, (256, 256, 3), dtype=np.uint8),
            "blank": random.integers(0, 256, (1, 1, 3), dtype=np.uint8),
            "blends": random.integers(0, 256, (4, 4, 3), dtype=np.uint8),
        }
        for kind, drawn in pixels.items():
            path = folder / f"{kind}{i}.png"
            Image.fromarray(drawn).resize((256, 256), Image.Resampling.BICUBIC).save(path)
            paths[kind].append(path)
    return paths
