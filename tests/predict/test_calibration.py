"""Score maps: fitted to what they should be, increasing, and never worse than nothing by much."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from labelbeam.errors import InputError
from labelbeam.predict.answers import Answers
from labelbeam.predict.calibration import (
    CANDIDATES,
    ScoreCalibration,
    fit_score_calibration,
    log_loss,
)
from labelbeam.predict.score_maps import (
    LEAST_SLOPE,
    IsotonicMaps,
    PlattMaps,
    isotonic_maps,
    log_odds,
    platt_maps,
    pool_adjacent,
    probability,
)


def overconfident(images: int, seed: int = 0, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose true log-odds are half of what they say, and rarer; with their truth."""
    random = np.random.default_rng(seed)
    says = 3 * random.normal(size=(images, labels)) - 1
    true = probability(0.5 * says - 0.5)
    return probability(says), (random.random(true.shape) < true).astype(np.int8)


def answers_of(scores: np.ndarray, **columns: np.ndarray) -> Answers:
    one = scores.astype(np.float32)
    chosen = {"scores": one, "low": one, "high": one, "stderr": np.zeros_like(one)} | columns
    return Answers(
        **chosen, paths=[()] * len(one), log_probs=np.zeros(len(one)), exact=np.ones(len(one), bool)
    )


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(2, 30))
@settings(deadline=None, max_examples=100)
def test_pooling_adjacent_violators_gives_scikit_learns_isotonic_regression(
    images: int, seed: int, distinct: int
) -> None:
    random = np.random.default_rng(seed)
    x = np.sort(random.integers(0, distinct, size=images) / distinct)
    y = random.random(images)
    expected = IsotonicRegression().fit(x, y).predict(x)
    np.testing.assert_allclose(pool_adjacent(x, y), expected, atol=1e-12)


def test_a_platt_map_without_prior_is_scikit_learns_logistic_regression() -> None:
    scores, targets = overconfident(300)
    maps = platt_maps(scores, targets, strength=1e-9)
    for label in range(scores.shape[1]):
        rival = LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000)
        rival.fit(log_odds(scores[:, [label]]), targets[:, label])
        assert maps.slopes[label] == pytest.approx(float(rival.coef_[0, 0]), abs=1e-3)
        assert maps.offsets[label] == pytest.approx(float(rival.intercept_[0]), abs=1e-3)


def test_platt_maps_find_the_slope_and_offset_that_made_the_truth() -> None:
    scores, targets = overconfident(5000)
    maps = platt_maps(scores, targets, strength=1.0)
    assert np.array(maps.slopes) == pytest.approx(0.5, abs=0.05)
    assert np.array(maps.offsets) == pytest.approx(-0.5, abs=0.12)


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("seed", range(3))
def test_every_map_is_increasing_and_takes_the_ends_to_the_ends(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.random((30, 3)) ** 4
    targets = random.integers(-1, 2, size=scores.shape).astype(
        np.int8
    )  # unrelated to the scores: the worst case
    targets[:, 2] = -1  # and a label that nobody looked at
    maps = CANDIDATES[name](scores, targets)
    grid = np.linspace(0, 1, 1001)
    mapped = maps.apply(np.repeat(grid[:, None], 3, axis=1))
    assert mapped[0].tolist() == [0, 0, 0]
    assert mapped[-1].tolist() == [1, 1, 1]
    assert (np.diff(mapped, axis=0) > 0).all()


def test_a_label_whose_scores_are_the_wrong_way_round_keeps_their_order() -> None:
    random = np.random.default_rng(0)
    scores = random.random((400, 1))
    targets = (random.random(scores.shape) > scores).astype(np.int8)
    assert platt_maps(scores, targets, strength=1.0).slopes == (LEAST_SLOPE,)


@pytest.mark.parametrize(("fit", "strength"), [(platt_maps, 300.0), (isotonic_maps, 20.0)])
def test_a_label_without_a_positive_gets_the_map_for_all_labels_and_a_frequent_one_its_own(
    fit, strength
) -> None:
    scores, targets = overconfident(400)
    targets[:, 0] = scores[:, 0] > 0.5  # its own map is far from the others'
    scores, targets = np.hstack((scores, scores[:, 1:2])), np.hstack((targets, 0 * targets[:, 1:2]))
    targets[50:, 4] = -1  # looked for 50 times, never found
    for_all = fit(scores, targets, strength=np.inf).apply(scores)
    drawn = fit(scores, targets, strength=strength).apply(scores)
    assert np.abs(drawn[:, 4] - for_all[:, 4]).max() < 0.08
    assert np.abs(drawn[:, 0] - for_all[:, 0]).max() > 0.09


def test_unknown_labels_play_no_part() -> None:
    scores, targets = overconfident(200)
    known = targets.copy()
    known[150:] = -1
    for fit in (platt_maps, isotonic_maps):
        masked, cut = (
            fit(scores, known, strength=4.0),
            fit(scores[:150], targets[:150], strength=4.0),
        )
        np.testing.assert_allclose(masked.apply(scores), cut.apply(scores), atol=1e-8)


def test_what_is_chosen_helps_where_scores_are_wrong_and_hardly_hurts_where_they_are_right() -> None:
    scores, targets = overconfident(600)
    fitted, fresh = overconfident(2000, seed=1)
    found = fit_score_calibration(scores, targets)
    assert found.changes
    assert log_loss(found.maps.apply(fitted), fresh).mean() < log_loss(fitted, fresh).mean() - 0.2
    random = np.random.default_rng(0)
    right, true = random.random((2600, 3)), random.random((2600, 3))
    targets = (true < right).astype(np.int8)
    found = fit_score_calibration(right[:600], targets[:600])
    worse = log_loss(found.maps.apply(right[600:]), targets[600:]) - log_loss(right[600:], targets[600:])
    assert worse.mean() < 0.02


def test_bounds_and_standard_errors_go_through_the_map_of_their_scores() -> None:
    scores, targets = overconfident(600)
    found = fit_score_calibration(scores, targets)
    columns = {"low": scores - 0.05, "high": scores + 0.05, "stderr": np.full_like(scores, 0.02)}
    given_answers = answers_of(
        scores, **{name: np.clip(column, 0, 1).astype(np.float32) for name, column in columns.items()}
    )
    mapped = found.apply(given_answers)
    assert (mapped.low <= mapped.scores).all()
    assert (mapped.scores <= mapped.high).all()
    np.testing.assert_allclose(mapped.low, found.maps.apply(given_answers.low), atol=1e-6)
    slope = (found.maps.apply(scores + 1e-5) - found.maps.apply(scores - 1e-5)) / 2e-5
    inner = (scores > 0.1) & (scores < 0.9)
    np.testing.assert_allclose(mapped.stderr[inner], 0.02 * slope[inner], atol=2e-3)


def test_few_images_change_nothing() -> None:
    scores, targets = overconfident(10)
    found = fit_score_calibration(scores, targets)
    assert not found.changes
    assert found.apply(answers_of(scores)).scores.tolist() == scores.astype(np.float32).tolist()


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_calibration_comes_back_from_json_as_it_was(name: str) -> None:
    scores, targets = overconfident(100)
    maps = CANDIDATES[name](scores, targets)
    stored = json.loads(json.dumps(ScoreCalibration(name, maps, {"none": 1.5}).to_json()))
    back = ScoreCalibration.from_json(stored, num_labels=4)
    assert back == ScoreCalibration(name, maps, {"none": 1.5})


STORED = {"method": "platt, strength 4", "maps": {"slopes": [1.0], "offsets": [0.0]}, "log_loss": {}}
ISOTONIC = {"method": "isotonic, strength 10", "maps": {"scores": [[0.5]], "values": [[0.4]]}, "log_loss": {}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "must hold exactly method, maps, log_loss; it holds list"),
        (STORED | {"method": "plat, strength 4"}, "Did you mean 'platt, strength 4'"),
        (STORED | {"method": 4}, "the method must be a text"),
        (STORED | {"maps": {"slopes": [1.0]}}, "maps must hold exactly slopes, offsets"),
        (STORED | {"maps": {"slopes": [True], "offsets": [0.0]}}, "slopes must be a number, given True"),
        (STORED | {"maps": {"slopes": [float("nan")], "offsets": [0.0]}}, "must be a number, given nan"),
        (STORED | {"maps": {"slopes": [10**400], "offsets": [0.0]}}, "slopes must be a number, given 1000"),
        (STORED | {"maps": {"slopes": [-1.0], "offsets": [0.0]}}, "slopes must be finite and above 0"),
        (STORED | {"maps": {"slopes": [1.0, 1.0], "offsets": [0.0]}}, "2 slopes and 1 offsets"),
        (STORED | {"maps": {"slopes": [1.0] * 2, "offsets": [0.0] * 2}}, "has 2 labels, the run 1"),
        (STORED | {"log_loss": [1.0]}, "log_loss must hold a number per method"),
        (ISOTONIC | {"maps": {"scores": [0.5], "values": [[0.4]]}}, "must be a list of numbers, given 0.5"),
        (ISOTONIC | {"maps": {"scores": 1, "values": [[0.4]]}}, "scores must be a list per label"),
        (ISOTONIC | {"maps": {"scores": [[0.5]], "values": [[0.4, 0.5]]}}, "one value for each"),
        (ISOTONIC | {"maps": {"scores": [[0.5, 0.4]], "values": [[0.1, 0.2]]}}, "must increase"),
        (ISOTONIC | {"maps": {"scores": [[0.5]], "values": [[1.0]]}}, "strictly between 0 and 1"),
    ],
)
def test_a_damaged_calibration_is_refused_with_words(values: object, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("[", r"\[")):
        ScoreCalibration.from_json(values, num_labels=1)


def test_answers_of_another_number_of_labels_are_refused() -> None:
    found = ScoreCalibration("none", PlattMaps((1.0,), (0.0,)), {})
    with pytest.raises(InputError, match="the calibration has 1 labels, the answers 4"):
        found.apply(answers_of(overconfident(3)[0]))


def test_an_isotonic_map_runs_straight_between_its_corners() -> None:
    maps = IsotonicMaps(((0.2, 0.6),), ((0.1, 0.7),))
    assert maps.apply(np.array([[0.1], [0.4], [0.8]])).ravel() == pytest.approx([0.05, 0.4, 0.85])
