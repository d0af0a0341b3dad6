import numpy as np
import pytest
from cooccurrence import CooccurrenceReweighting

from labelbeam.errors import InputError

TARGETS = (np.random.default_rng(1).random((200, 5)) < [0.6, 0.4, 0.3, 0.1, 0.02]).astype(np.int8)
TARGETS[:, 1] |= TARGETS[:, 2]
SCORES = np.random.default_rng(2).random((4, 5))
NOTHING = np.full((4, 5), -1, dtype=np.int8)


def test_without_evidence_scores_are_as_they_were() -> None:
    pairs = CooccurrenceReweighting.fit(TARGETS)
    np.testing.assert_allclose(pairs.reweighted(SCORES, NOTHING), SCORES)


def test_strength_zero_changes_the_known_labels_only() -> None:
    known = NOTHING.copy()
    known[:, 0], known[:, 3] = 1, 0
    found = CooccurrenceReweighting.fit(TARGETS).reweighted(SCORES, known, strength=0.0)
    np.testing.assert_allclose(found, np.where(known == -1, SCORES, known))


def test_odds_are_multiplied_by_smoothed_ratios_counted_in_a_loop() -> None:
    s, n = 2.0, len(TARGETS)
    known = np.array([[-1, 1, -1, 0, -1]], dtype=np.int8)
    found = CooccurrenceReweighting.fit(TARGETS, smoothing=s).reweighted(SCORES[:1], known, strength=0.7)
    for asked in (0, 2, 4):
        odds = SCORES[0, asked] / (1 - SCORES[0, asked])
        for given, value in ((1, 1), (3, 0)):
            f = (TARGETS[:, given].sum() + 0.5) / (n + 1)
            p = [
                (TARGETS[TARGETS[:, asked] == here, given].sum() + s * f)
                / ((TARGETS[:, asked] == here).sum() + s)
                for here in (1, 0)
            ]
            odds *= (p[0] / p[1] if value else (1 - p[0]) / (1 - p[1])) ** 0.7
        assert found[0, asked] == pytest.approx(odds / (1 + odds))


def test_one_known_label_and_two_labels_give_bayes_rule() -> None:
    targets = np.array([[1, 1]] * 30 + [[1, 0]] * 10 + [[0, 1]] * 20 + [[0, 0]] * 40, dtype=np.int8)
    prior = np.full((1, 2), 0.4)  # label 0 in 40 of 100
    found = CooccurrenceReweighting.fit(targets, smoothing=1e-9).reweighted(
        prior, np.array([[-1, 1]], dtype=np.int8)
    )
    assert found[0, 0] == pytest.approx(30 / 50)


def test_unknown_labels_are_not_counted() -> None:
    more = np.full((50, 5), -1, dtype=np.int8)
    more[:, 0] = TARGETS[:50, 0]
    known = np.array([[-1, 1, -1, -1, -1]], dtype=np.int8)
    first, second = (
        CooccurrenceReweighting.fit(targets).if_present[1, 2]
        for targets in (TARGETS, np.vstack((TARGETS, more)))
    )
    assert first == pytest.approx(second)
    assert CooccurrenceReweighting.fit(TARGETS).reweighted(SCORES[:1], known)[0, 1] == 1.0


def test_certain_scores_stay_finite() -> None:
    scores = np.array([[0.0, 1.0, 0.5, 1.0, 0.0]])
    known = np.array([[-1, -1, 1, -1, -1]], dtype=np.int8)
    found = CooccurrenceReweighting.fit(TARGETS).reweighted(scores, known)
    assert np.isfinite(found).all()
    assert found[0, 0] < 1e-5
    assert found[0, 3] > 1 - 1e-5


@pytest.mark.parametrize(
    ("scores", "strength", "words"),
    [
        (SCORES[:, :3], 1.0, ["probabilities", "(4, 3)"]),
        (SCORES + 1, 1.0, ["probabilities"]),
        (np.full((4, 5), np.nan), 1.0, ["probabilities"]),
        (SCORES, -1.0, ["strength is -1.0", "at least 0"]),
    ],
)
def test_what_does_not_fit_is_refused_in_words(scores: np.ndarray, strength: float, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        CooccurrenceReweighting.fit(TARGETS).reweighted(scores, NOTHING, strength=strength)
    assert all(word in str(error.value) for word in words)
