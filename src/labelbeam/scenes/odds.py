"""The odds of `scenes`: which label sets a picture may carry, given everything that is seen in it.

The exact conditional distribution p(label set | cues), by enumeration, and which sets are impossible. Knows
nothing of pixels, files or models. In the data path: after `world`, before `files` (which draws labels from
it) and `bayes` (which scores with it).
"""

from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError
from labelbeam.scenes.world import (
    FAVOURED_WEIGHT,
    HOLIDAY_TAGS,
    LIGHTS,
    MEAL_LABELS,
    MEALS,
    OCCASIONS,
    PHOTOGRAPHERS,
    UNFILED_WEIGHT,
    VOCABULARY,
    Cues,
    cue_distribution,
    multi_hot,
    position_of_draw,
)


def label_distribution(cues: Cues) -> tuple[Bool[np.ndarray, "sets labels"], Float[np.ndarray, " sets"]]:
    """Enumerate the label sets that a picture with these cues may carry.

    Args:
        cues: the visible part.

    Returns:
        Distinct label sets, as rows over `VOCABULARY`, and their probabilities, all above 0, of sum 1:
        p(photographer | light) p(occasion | photographer, light) p(meal | photographer, scene). Read-only.

    Example:
        >>> sets, probs = label_distribution(Cues("sea", "dawn"))
        >>> len(sets), round(float(probs.sum()), 9)
        (9, 1.0)
    """
    hidden, probs = _hidden_distribution(cues.light, cues.scene == "kitchen")
    sets = hidden | multi_hot(cues.visible_labels)
    sets.flags.writeable = False
    return sets, probs


def sample_labels(cues: Cues, generator: np.random.Generator) -> Bool[np.ndarray, " labels"]:
    """Draw the label set of a picture from `label_distribution`.

    Example:
        >>> present = sample_labels(Cues("kitchen", "night", ("cup",)), np.random.default_rng(0))
        >>> int(present[[VOCABULARY.id_of(meal) for meal in MEAL_LABELS]].sum())
        1
    """
    sets, probs = label_distribution(cues)
    row: np.ndarray = sets[position_of_draw(np.cumsum(probs), generator)]
    return row


def is_possible(sets: Bool[np.ndarray, "images labels"]) -> Bool[np.ndarray, " images"]:
    """Say of each label set whether some picture may carry it (its probability exceeds 0 for some cues).

    Args:
        sets: label sets over `VOCABULARY`.

    Returns:
        True where possible; False is an "impossible combination" (a boat without a sea, two photographers).

    Raises:
        InputError: the sets have another number of labels than the world.

    Example:
        >>> is_possible(label_distribution(Cues("farm", "noon"))[0]).all()
        np.True_
        >>> is_possible(np.ones((1, len(VOCABULARY)), dtype=bool))
        array([False])
    """
    return np.isin(set_codes(sets), _support())


def is_possible_given(
    sets: Bool[np.ndarray, "images labels"], cues: Sequence[Cues]
) -> Bool[np.ndarray, " images"]:
    """Say of each label set whether the picture with these very cues may carry it.

    Args:
        sets: one label set per picture, over `VOCABULARY`.
        cues: the pictures' cues, in the same order.

    Returns:
        True where the probability given the cues exceeds 0.

    Raises:
        InputError: as many sets as cues are needed, or the number of labels is another.

    Example:
        >>> sets, _ = label_distribution(Cues("farm", "noon"))
        >>> is_possible_given(sets[:2], [Cues("farm", "noon"), Cues("farm", "noon", ("cow",))])
        array([ True, False])
    """
    if len(sets) != len(cues):
        raise InputError(f"{len(sets)} label sets were given for {len(cues)} cues; give one set per picture.")
    codes = set_codes(sets)
    found = [code in set_codes(label_distribution(given)[0]) for code, given in zip(codes, cues, strict=True)]
    return np.array(found, dtype=bool)


@cache
def _hidden_distribution(light: str, kitchen: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sets of hidden labels (rows over the whole vocabulary) and their probabilities."""
    odds, favoured = LIGHTS[light]
    rows: list[tuple[str, ...]] = []
    probs: list[float] = []
    for photographer, p_photographer in zip(PHOTOGRAPHERS, odds, strict=True):
        weights = {"": UNFILED_WEIGHT} | {
            name: FAVOURED_WEIGHT if name == favoured else 1.0
            for name, who in OCCASIONS.items()
            if photographer in who
        }
        meals = dict(zip(MEAL_LABELS, MEALS[photographer], strict=True)) if kitchen else {"": 1.0}
        for (occasion, weight), (meal, p_meal) in product(weights.items(), meals.items()):
            tags = HOLIDAY_TAGS if occasion == "holiday" else (occasion,)
            rows.append((photographer, *tags, meal))
            probs.append(p_photographer * weight / sum(weights.values()) * p_meal)
    sets = np.stack([multi_hot(tuple(name for name in row if name)) for row in rows])
    values = np.array(probs)
    values.flags.writeable = False
    return sets, values


def set_codes(sets: np.ndarray) -> Int[np.ndarray, " images"]:
    """Each label set as one integer, label j being bit j."""
    if sets.ndim != 2 or sets.shape[1] != len(VOCABULARY):
        raise InputError(
            f"label sets must be bool [images {len(VOCABULARY)}] over the scenes' vocabulary, "
            f"given {sets.shape}; map them with `Dataset.with_vocabulary` first."
        )
    return sets @ (1 << np.arange(len(VOCABULARY), dtype=np.int64))


@cache
def _support() -> np.ndarray:
    """Codes of every label set of positive probability, over all cues."""
    cues, _ = cue_distribution()
    return np.unique(np.concatenate([set_codes(label_distribution(given)[0]) for given in cues]))
