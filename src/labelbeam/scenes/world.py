"""The world of `scenes`: what a picture shows, and which tags it then carries, as a known distribution.

A picture is drawn from its `Cues` (scene, light, objects). Some labels can be read off it (`VISIBLE_LABELS`).
The others (`HIDDEN_LABELS`) cannot: who took the picture, the occasion it was filed under, the album it went into,
the meal that is being made are random given every pixel. They are tied to one another, and the light of the picture
shifts their odds. Some pictures show nothing, and carry no label at all.

Knows nothing of pixels, files or models. First in the data path: `files` paints cues and stores the pictures,
`bayes` computes what a perfect reader could score, `best_sum` what a sum over the labels said so far could.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.vocabulary import Vocabulary

WORLD_VERSION = 2
"""Goes up whenever any distribution or pixel changes: it keys the drawn pictures on disk."""

SCENES: dict[str, float] = {"sea": 0.22, "street": 0.21, "kitchen": 0.20, "farm": 0.19, "mountain": 0.18}
"""How often each scene is drawn where something is seen. Exactly one holds; all but the kitchen have a sky."""

NOTHING, NOTHING_SHARE = "nothing", 0.08
"""Instead of a scene: pictures taken by mistake, the lens covered; their share; they carry no label."""

OBJECTS: dict[str, dict[str, float]] = {
    "sea": {"boat": 0.60, "bird": 0.35, "person": 0.30},
    "street": {"car": 0.62, "traffic light": 0.10, "person": 0.62, "bird": 0.06},
    "kitchen": {"cup": 0.58, "person": 0.56},
    "farm": {"cow": 0.58, "person": 0.42, "bird": 0.18},
    "mountain": {"person": 0.55, "bird": 0.30, "cow": 0.10},
}
"""Chance of each object in each scene, independent of the others; an object not named never occurs there."""

ACTIVITIES: dict[str, tuple[str, str, float]] = {
    "sailing": ("sea", "boat", 0.45),
    "cooking": ("kitchen", "person", 0.50),
}
"""Activity -> the scene and the object that it needs, and its chance given both."""

PHOTOGRAPHERS = ("anna", "ben", "chloe")
"""Exactly one took the picture."""

OCCASIONS: dict[str, dict[str, tuple[int, str]]] = {
    "anna": {"": (-1, "breakfast"), "holiday": (0, "lunch"), "weekend": (1, "dinner")},
    "ben": {"": (-1, "lunch"), "weekend": (0, "dinner"), "workday": (1, "breakfast")},
    "chloe": {"": (-1, "dinner"), "workday": (0, "breakfast"), "holiday": (1, "lunch")},
}
"""Photographer -> each occasion that her pictures are filed under ("": none) -> which of two albums, and which meal.

The two decide *together*: each photographer uses both albums, and so does each occasion. No sum of what a
photographer says for an album and what an occasion says for it gets all six right: anna prefers the first for
holiday over weekend, ben for weekend over workday, chloe for workday over holiday, which closes a circle.
"""

ALBUMS = {True: ("grandma", "friends"), False: ("calendar", "poster")}
"""Whether a person is seen -> the two albums that a picture may go into, once it is filed under an occasion.

Four and not two, so that each is rarer than a photographer and an occasion: labels are said most frequent first, and a
model whose image enters after the recurrence has to hear of the pair before it can say what the pair decides.
"""

ALBUM_CHANCE = 0.97
"""Of the album that photographer and occasion say; else it is the other of the two."""

HOLIDAY_TAGS = ("holiday", "family")
"""Put on a picture together, or not at all."""

LIGHTS: dict[str, tuple[tuple[float, float, float], str]] = {
    "dawn": ((0.48, 0.48, 0.04), "holiday"),
    "mist": ((0.04, 0.48, 0.48), "holiday"),
    "noon": ((0.48, 0.04, 0.48), "weekend"),
    "gold": ((0.04, 0.48, 0.48), "weekend"),
    "dusk": ((0.48, 0.48, 0.04), "workday"),
    "night": ((0.48, 0.04, 0.48), "workday"),
}
"""Light -> odds of the three photographers, and the occasion that pictures in this light favour.

Of the two likely photographers, one never works on the favoured occasion: her pictures split three ways (her
two occasions, or none), while nearly all of the other's share one. The likeliest *set* hence names the other,
although both have the same marginal: no threshold per label can separate them.
"""

FAVOURED_WEIGHT = 24.0
"""How much likelier the favoured occasion is than another one, or none."""

MEAL_LABELS = ("breakfast", "lunch", "dinner")
"""A kitchen has exactly one, other scenes none."""

MEAL_CHANCE = 0.86
"""Of the meal that photographer and occasion say; the other two share the rest."""

HIDDEN_LABELS = (
    *PHOTOGRAPHERS,
    *(*HOLIDAY_TAGS, "weekend", "workday"),
    *(*ALBUMS[True], *ALBUMS[False]),
    *MEAL_LABELS,
)
"""Labels that no reader of the pixels can know for sure."""

VISIBLE_LABELS = (
    *("sky", *SCENES),
    *("person", "bird", "boat", "car", "cow", "cup", "traffic light"),
    *ACTIVITIES,
)
"""Labels that the picture determines."""

VOCABULARY = Vocabulary((*VISIBLE_LABELS, *HIDDEN_LABELS))
"""All labels; a label's position is its column in every matrix of this package."""

HIDDEN = np.array([name in HIDDEN_LABELS for name in VOCABULARY])
HIDDEN.flags.writeable = False


@dataclass(frozen=True)
class Cues:
    """Everything in a picture that bears on its labels.

    Attributes:
        scene: one of `SCENES`, or `NOTHING`.
        light: one of `LIGHTS`.
        things: objects and activities that are seen, in vocabulary order.

    Raises:
        InputError: an unknown scene, light or thing, or a thing that this scene never shows.

    Example:
        >>> Cues("sea", "dawn", ("boat", "sailing")).visible_labels
        ('sky', 'sea', 'boat', 'sailing')
    """

    scene: str
    light: str
    things: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.scene not in (*SCENES, NOTHING):
            raise unknown_name("scene", self.scene, (*SCENES, NOTHING))
        if self.light not in LIGHTS:
            raise unknown_name("light", self.light, LIGHTS)
        allowed = things_of(self.scene)
        for thing in self.things:
            if thing not in allowed:
                raise unknown_name(f"thing in the scene {self.scene!r}:", thing, allowed)
            if thing in ACTIVITIES and ACTIVITIES[thing][1] not in self.things:
                raise InputError(
                    f"the activity {thing!r} was given without {ACTIVITIES[thing][1]!r}, which it needs; "
                    "add it."
                )
        order = tuple(name for name in VISIBLE_LABELS if name in self.things)
        object.__setattr__(self, "things", order)

    @property
    def visible_labels(self) -> tuple[str, ...]:
        """The labels that the picture determines, in vocabulary order."""
        if self.scene == NOTHING:
            return ()
        sky = () if self.scene == "kitchen" else ("sky",)
        return (*sky, self.scene, *self.things)


def things_of(scene: str) -> tuple[str, ...]:
    """Return the objects and activities that a scene, or `NOTHING`, may show.

    Example:
        >>> things_of("sea")
        ('boat', 'bird', 'person', 'sailing')
    """
    return (*OBJECTS.get(scene, ()), *(name for name, needs in ACTIVITIES.items() if needs[0] == scene))


def sample_cues(generator: np.random.Generator) -> Cues:
    """Draw the visible part of one picture: scene or nothing, then light, objects and activities.

    Args:
        generator: the picture's own random numbers; advanced by the draw.

    Returns:
        The cues.

    Example:
        >>> sample_cues(np.random.default_rng(0)).scene in SCENES
        True
    """
    chances = _scene_chances()
    scene = tuple(chances)[position_of_draw(np.cumsum(tuple(chances.values())), generator)]
    light = tuple(LIGHTS)[generator.integers(len(LIGHTS))]
    things = [name for name, chance in OBJECTS.get(scene, {}).items() if generator.random() < chance]
    for name, (where, needs, chance) in ACTIVITIES.items():
        if scene == where and generator.random() < chance and needs in things:
            things.append(name)
    return Cues(scene, light, tuple(things))


def cue_distribution() -> tuple[tuple[Cues, ...], Float[np.ndarray, " cues"]]:
    """Enumerate every kind of picture there is, with its probability.

    Returns:
        Distinct cues and their probabilities, all above 0, of sum 1.

    Example:
        >>> cues, probs = cue_distribution()
        >>> len(cues), round(float(probs.sum()), 9)
        (306, 1.0)
    """
    cues: list[Cues] = []
    probs: list[float] = []
    for (scene, p_scene), light in product(_scene_chances().items(), LIGHTS):
        for things, p_things in _things_distribution(scene):
            cues.append(Cues(scene, light, things))
            probs.append(p_scene / len(LIGHTS) * p_things)
    return tuple(cues), np.array(probs)


def _scene_chances() -> dict[str, float]:
    return {name: share * (1 - NOTHING_SHARE) for name, share in SCENES.items()} | {NOTHING: NOTHING_SHARE}


def _things_distribution(scene: str) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every combination of objects and activities in a scene, with its probability."""
    for chosen in product((False, True), repeat=len(things_of(scene))):
        there = dict(zip(things_of(scene), chosen, strict=True))
        probability = 1.0
        for name, seen in there.items():
            if name in ACTIVITIES:
                _, needs, chance = ACTIVITIES[name]
                chance = chance if there[needs] else 0.0
            else:
                chance = OBJECTS[scene][name]
            probability *= chance if seen else 1 - chance
        if probability > 0:
            yield tuple(name for name, seen in there.items() if seen), probability


def multi_hot(names: Iterable[str]) -> Bool[np.ndarray, " labels"]:
    """Return the label set of these names over `VOCABULARY`.

    Raises:
        InputError: a name is not among the labels.

    Example:
        >>> int(multi_hot(["sea", "boat"]).sum())
        2
    """
    row = np.zeros(len(VOCABULARY), dtype=bool)
    row[[VOCABULARY.id_of(name) for name in names]] = True
    return row


def position_of_draw(cumulative: np.ndarray, generator: np.random.Generator) -> int:
    """Position of a draw; the last one where rounding leaves the total a little below 1."""
    return min(int(np.searchsorted(cumulative, generator.random(), side="right")), len(cumulative) - 1)


# The odds of `scenes`: which label sets a picture may carry, given everything that is seen in it.
#
# The exact conditional distribution p(label set | cues), by enumeration, and which sets are impossible. Knows
# nothing of pixels, files or models. In the data path: after `world`, before `files` (which draws labels from
# it) and `bayes` (which scores with it).


def label_distribution(cues: Cues) -> tuple[Bool[np.ndarray, "sets labels"], Float[np.ndarray, " sets"]]:
    """Enumerate the label sets that a picture with these cues may carry.

    Args:
        cues: the visible part.

    Returns:
        Distinct label sets, as rows over `VOCABULARY`, and their probabilities, all above 0, of sum 1:
        p(photographer | light) p(occasion | photographer, light) p(album, meal | photographer, occasion, seen).
        Of a picture that shows nothing it is the empty set alone. Read-only.

    Example:
        >>> sets, probs = label_distribution(Cues("sea", "dawn"))
        >>> len(sets), round(float(probs.sum()), 9)
        (15, 1.0)
    """
    if cues.scene == NOTHING:
        hidden, probs = np.zeros((1, len(VOCABULARY)), dtype=bool), np.ones(1)
    else:
        hidden, probs = _hidden_distribution(cues.light, cues.scene == "kitchen", "person" in cues.things)
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
def _hidden_distribution(light: str, kitchen: bool, person: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sets of hidden labels (rows over the whole vocabulary) and their probabilities."""
    odds, favoured = LIGHTS[light]
    rows: list[tuple[str, ...]] = []
    probs: list[float] = []
    for photographer, p_photographer in zip(PHOTOGRAPHERS, odds, strict=True):
        filed = OCCASIONS[photographer]
        weights = {name: FAVOURED_WEIGHT if name == favoured else 1.0 for name in filed}
        for occasion, (album, meal) in filed.items():
            tags = HOLIDAY_TAGS if occasion == "holiday" else (occasion,)
            chance = p_photographer * weights[occasion] / sum(weights.values())
            albums = {
                name: ALBUM_CHANCE if i == album else 1 - ALBUM_CHANCE
                for i, name in enumerate(ALBUMS[person])
            }
            meals = {name: MEAL_CHANCE if name == meal else (1 - MEAL_CHANCE) / 2 for name in MEAL_LABELS}
            for (in_album, p_album), (made, p_meal) in product(
                albums.items() if occasion else [("", 1.0)], meals.items() if kitchen else [("", 1.0)]
            ):
                rows.append((photographer, *tags, in_album, made))
                probs.append(chance * p_album * p_meal)
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
