import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.scenes.world import (
    ALBUMS,
    HIDDEN,
    HIDDEN_LABELS,
    HOLIDAY_TAGS,
    LIGHTS,
    MEAL_LABELS,
    NOTHING,
    NOTHING_SHARE,
    OCCASIONS,
    PHOTOGRAPHERS,
    SCENES,
    VISIBLE_LABELS,
    VOCABULARY,
    Cues,
    cue_distribution,
    is_possible,
    is_possible_given,
    label_distribution,
    multi_hot,
    sample_cues,
    sample_labels,
    set_codes,
)

DRAWS = 50_000

IMPLICATIONS = [
    *[(scene, "sky") for scene in SCENES if scene != "kitchen"],
    *[("boat", "sea"), ("sailing", "boat"), ("car", "street"), ("traffic light", "street")],
    *[("bird", "sky"), ("cow", "sky"), ("cup", "kitchen"), ("cooking", "person"), ("cooking", "kitchen")],
    *[(meal, "kitchen") for meal in MEAL_LABELS],
    *[(album, "person") for album in ALBUMS[True]],
]


@pytest.fixture(scope="module")
def draws() -> tuple[list[Cues], np.ndarray]:
    generator = np.random.default_rng(11)
    cues = [sample_cues(generator) for _ in range(DRAWS)]
    return cues, np.stack([sample_labels(given, generator) for given in cues])


def column(sets, name):
    return sets[:, VOCABULARY.id_of(name)]


def count_of(sets, names):
    return sum(column(sets, name).astype(int) for name in names)


def test_there_are_29_labels_each_either_visible_or_hidden():
    assert len(VOCABULARY) == 29
    assert sorted(VISIBLE_LABELS + HIDDEN_LABELS) == sorted(VOCABULARY.names)
    assert VOCABULARY.names_of(np.flatnonzero(HIDDEN).tolist()) == list(HIDDEN_LABELS)


def test_the_probabilities_of_every_picture_s_sets_sum_to_one_and_none_is_zero():
    for cues in cue_distribution()[0]:
        sets, probs = label_distribution(cues)
        assert probs.sum() == pytest.approx(1, abs=1e-12)
        assert probs.min() > 0
        assert len(set(set_codes(sets).tolist())) == len(sets) <= 45


def test_enumerated_odds_are_those_worked_out_by_hand():
    sets, probs = label_distribution(Cues("sea", "dawn", ("boat",)))
    table = {
        frozenset(VOCABULARY.names_of(np.flatnonzero(row).tolist())): p
        for row, p in zip(sets, probs, strict=True)
    }
    seen = {"sky", "sea", "boat"}
    # anna: 0.48, of which 24 parts in 26 on holiday; ben never is, and splits 1 : 1 : 1. Nobody is seen.
    assert table[frozenset(seen | {"anna", *HOLIDAY_TAGS, "calendar"})] == pytest.approx(
        0.48 * 24 / 26 * 0.97
    )
    assert table[frozenset(seen | {"anna", *HOLIDAY_TAGS, "poster"})] == pytest.approx(0.48 * 24 / 26 * 0.03)
    assert table[frozenset(seen | {"ben", "weekend", "calendar"})] == pytest.approx(0.48 / 3 * 0.97)
    assert table[frozenset(seen | {"ben", "workday", "poster"})] == pytest.approx(0.48 / 3 * 0.97)
    assert table[frozenset(seen | {"ben"})] == pytest.approx(0.48 / 3)
    assert not any({"ben", "holiday"} <= names or "grandma" in names for names in table)


def test_a_picture_that_shows_nothing_carries_nothing_whatever_its_light():
    for light in LIGHTS:
        sets, probs = label_distribution(Cues(NOTHING, light))
        assert probs.tolist() == [1.0]
        assert not sets.any()


def test_photographer_and_occasion_decide_album_and_meal_only_together():
    """Neither alone says more than one in two of the album; the pair's own album closes a circle."""
    first = {who: {name: album for name, (album, _) in own.items() if name} for who, own in OCCASIONS.items()}
    for own in first.values():
        assert sorted(own.values()) == [0, 1]
    for occasion in ("holiday", "weekend", "workday"):
        assert sorted(own[occasion] for own in first.values() if occasion in own) == [0, 1]
    preferred = {(*sorted(own, key=own.__getitem__),) for own in first.values()}
    assert preferred == {("holiday", "weekend"), ("weekend", "workday"), ("workday", "holiday")}
    for own in OCCASIONS.values():
        assert {meal for _, meal in own.values()} == set(MEAL_LABELS)


def test_cues_are_drawn_as_often_as_their_enumerated_probability_says(draws):
    kinds, probs = cue_distribution()
    assert probs.sum() == pytest.approx(1, abs=1e-12)
    position = {cues: i for i, cues in enumerate(kinds)}
    counts = np.bincount([position[cues] for cues in draws[0]], minlength=len(kinds))
    deviations = (counts - DRAWS * probs) / np.sqrt(DRAWS * probs * (1 - probs) + 1)
    assert np.abs(deviations).max() < 5


def test_label_sets_are_drawn_as_often_as_their_enumerated_probability_says(draws):
    cues, drawn = draws
    for scene, light in [("kitchen", "dusk"), ("sea", "noon"), ("farm", "mist")]:
        rows = [
            i
            for i, given in enumerate(cues)
            if (given.scene, given.light) == (scene, light) and "person" not in given.things
        ]
        sets, probs = label_distribution(Cues(scene, light))
        codes = set_codes(sets & HIDDEN)
        counts = (set_codes(drawn[rows] & HIDDEN)[:, None] == codes).sum(axis=0)
        assert counts.sum() == len(rows) > 500
        deviations = (counts - len(rows) * probs) / np.sqrt(len(rows) * probs * (1 - probs) + 1)
        assert np.abs(deviations).max() < 5


@pytest.mark.parametrize(("name", "implied"), IMPLICATIONS)
def test_a_label_never_comes_without_what_it_implies(draws, name, implied):
    assert column(draws[1], name).any()
    assert not (column(draws[1], name) & ~column(draws[1], implied)).any()


def test_groups_hold_exactly_once_or_together(draws):
    sets = draws[1]
    shown = sets.any(axis=1)
    assert shown.mean() == pytest.approx(1 - NOTHING_SHARE, abs=0.01)
    assert (count_of(sets, SCENES) == shown).all()
    assert (count_of(sets, PHOTOGRAPHERS) == shown).all()
    assert (count_of(sets, MEAL_LABELS) == column(sets, "kitchen")).all()
    assert set(np.unique(count_of(sets, HOLIDAY_TAGS))) == {0, len(HOLIDAY_TAGS)}
    filed = count_of(sets, ("holiday", "weekend", "workday"))
    assert filed.max() == 1
    person = column(sets, "person")
    assert (count_of(sets, ALBUMS[True]) == filed * person).all()
    assert (count_of(sets, ALBUMS[False]) == filed * ~person).all()


def test_label_frequencies_have_a_long_tail(draws):
    frequencies = np.sort(draws[1].mean(axis=0))[::-1]
    assert frequencies[0] > 0.7
    assert 0.01 < frequencies[-1] < 0.03
    assert (frequencies < 0.10).sum() >= 5


def test_no_light_gives_any_photographer_away_and_every_one_has_odds_of_her_own():
    assert len({(odds, favoured) for odds, favoured in LIGHTS.values()}) == len(LIGHTS)
    assert max(max(odds) for odds, _ in LIGHTS.values()) < 0.5


def test_every_drawn_set_is_possible_with_and_without_its_cues(draws):
    cues, sets = draws
    assert is_possible(sets).all()
    assert is_possible_given(sets[:500], cues[:500]).all()


def test_possible_sets_are_exactly_those_that_some_picture_may_carry():
    everything = {
        int(code) for cues in cue_distribution()[0] for code in set_codes(label_distribution(cues)[0])
    }
    generator = np.random.default_rng(3)
    kinds = cue_distribution()[0]
    sets = np.stack([label_distribution(kinds[i])[0][0] for i in generator.integers(len(kinds), size=2000)])
    flipped = sets ^ (generator.random(sets.shape) < 0.05)
    expected = [int(code) in everything for code in set_codes(flipped)]
    assert 100 < sum(expected) < 1900
    assert is_possible(flipped).tolist() == expected


@pytest.mark.parametrize(
    "names",
    [
        ("sky", "sea", "kitchen", "anna", "lunch"),
        ("sky", "sea"),
        ("sky", "sea", "anna", "ben"),
        ("sky", "sea", "anna", "holiday", "calendar"),
        ("sky", "sea", "anna", "weekend"),
        ("sky", "sea", "anna", "weekend", "grandma"),
        ("anna",),
        ("sky", "sea", "anna", "workday", "poster"),
        ("sky", "farm", "boat", "anna"),
        ("kitchen", "anna"),
    ],
)
def test_an_impossible_combination_is_found(names):
    assert not is_possible(multi_hot(names)[None])[0]


def test_a_set_that_another_picture_may_carry_is_impossible_given_these_cues():
    rows = multi_hot(("sky", "sea", "boat", "anna"))[None]
    assert is_possible(rows)[0]
    assert is_possible_given(rows, [Cues("sea", "noon", ("boat",))])[0]
    assert not is_possible_given(rows, [Cues("sea", "noon")])[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Cues("kichen", "dawn"), ["scene 'kichen'", "Did you mean 'kitchen'", "street"]),
        (lambda: Cues("sea", "nigth"), ["light 'nigth'", "'night'", "dawn"]),
        (lambda: Cues("sea", "dawn", ("car",)), ["scene 'sea'", "'car'", "boat"]),
        (lambda: Cues("sea", "dawn", ("sailing",)), ["'sailing'", "without 'boat'", "add it"]),
        (lambda: is_possible(np.zeros((2, 5), dtype=bool)), ["29", "(2, 5)", "with_vocabulary"]),
        (
            lambda: is_possible_given(np.zeros((2, 29), dtype=bool), [Cues("sea", "dawn")]),
            ["2 label sets", "1 cues", "one set per picture"],
        ),
    ],
)
def test_bad_input_is_answered_with_words_that_repair_it(make, words):
    with pytest.raises(InputError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
