import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.scenes.bayes import (
    TrueDistribution,
    bayes_values,
    best_thresholds,
    population,
    true_distribution,
)
from labelbeam.scenes.world import (
    ALBUMS,
    HIDDEN,
    LIGHTS,
    PHOTOGRAPHERS,
    VOCABULARY,
    Cues,
    label_distribution,
    sample_cues,
    sample_labels,
    set_codes,
)


@pytest.fixture(scope="module")
def cues() -> list[Cues]:
    generator = np.random.default_rng(5)
    return [sample_cues(generator) for _ in range(400)]


@pytest.fixture(scope="module")
def truth(cues) -> TrueDistribution:
    return true_distribution(cues)


def test_the_gap_that_the_issue_asks_for_is_there():
    values = bayes_values()
    assert values.joint_subset_accuracy - values.marginal_subset_accuracy >= 0.10
    assert values.joint_log_likelihood - values.marginal_log_likelihood >= 0.5


def test_the_gap_is_there_for_sampled_pictures_too(truth):
    values = bayes_values(truth)
    assert values.joint_subset_accuracy - values.marginal_subset_accuracy >= 0.10
    assert values.joint_log_likelihood - values.marginal_log_likelihood >= 0.5
    assert values.marginal_subset_accuracy_at_half <= values.marginal_subset_accuracy + 0.02


def test_marginals_map_sets_and_entropies_equal_a_slow_loop_over_sets(cues, truth):
    marginals, map_sets, entropies = truth.marginals, truth.map_sets, truth.entropies
    for i, given in enumerate(cues[:60]):
        sets, probs = label_distribution(given)
        slow = [sum(p for row, p in zip(sets, probs, strict=True) if row[j]) for j in range(len(VOCABULARY))]
        assert marginals[i] == pytest.approx(slow)
        assert (map_sets[i] == sets[max(range(len(probs)), key=lambda r: probs[r])]).all()
        assert entropies[i] == pytest.approx(-sum(p * np.log(p) for p in probs))


def test_visible_labels_are_certain_and_hidden_ones_of_an_image_never_all_are(truth):
    marginals, shown = truth.marginals, truth.map_sets.any(axis=1)
    assert np.isin(marginals[:, ~HIDDEN].round(12), (0, 1)).all()
    assert ((marginals > 0.01) & (marginals < 0.99)).any(axis=1)[shown].all()
    assert not marginals[~shown].any()
    assert 0 < (~shown).mean() < 0.2


def test_expected_scores_agree_with_scores_on_drawn_labels(cues, truth):
    generator = np.random.default_rng(9)
    decided = truth.map_sets
    draws = [np.stack([sample_labels(given, generator) for given in cues]) for _ in range(60)]
    hits = np.mean([(drawn == decided).all(axis=1).mean() for drawn in draws])
    assert truth.expected_subset_accuracy(decided) == pytest.approx(hits, abs=5 * 0.5 / np.sqrt(400 * 60))
    drawn_log_likelihood = np.mean([truth.set_log_probs(drawn).mean() for drawn in draws])
    assert -truth.entropies.mean() == pytest.approx(drawn_log_likelihood, abs=5 * 1.0 / np.sqrt(400 * 60))


def test_the_truth_s_own_log_probabilities_score_minus_the_mean_entropy(truth):
    assert truth.expected_log_likelihood(np.log(truth.probs)) == pytest.approx(-truth.entropies.mean())


def test_no_other_set_probabilities_score_better_than_the_truth(truth):
    generator = np.random.default_rng(2)
    other = truth.probs * generator.uniform(0.5, 2.0, size=len(truth.probs))
    other /= np.bincount(truth.image, other)[truth.image]
    assert truth.expected_log_likelihood(np.log(other)) < -truth.entropies.mean()


def test_log_likelihood_of_marginals_equals_the_sum_over_enumerated_sets(truth):
    probs = truth.marginals.clip(1e-3, 1 - 1e-3)
    rows = probs[truth.image]
    per_set = np.where(truth.sets, np.log(rows), np.log1p(-rows)).sum(axis=1)
    assert truth.expected_log_likelihood_of_marginals(probs) == pytest.approx(
        truth.expected_log_likelihood(per_set)
    )


def test_an_impossible_set_has_log_probability_minus_infinity(truth):
    everything = np.ones((len(truth), len(VOCABULARY)), dtype=bool)
    assert np.isneginf(truth.set_log_probs(everything)).all()
    assert truth.expected_subset_accuracy(everything) == 0


def test_best_thresholds_find_the_optimum_of_every_combination_outside_the_kitchen():
    # Without meals 8 thresholds matter, few enough to try them all: photographers, holiday (family has the same
    # marginals), weekend, workday and two albums.
    truth = true_distribution([Cues("sea", light) for light in LIGHTS])
    marginals = truth.marginals
    decided = set_codes(marginals > 0.99)[None]  # one row per combination, as integers; a column per picture
    for names in (*PHOTOGRAPHERS, ("holiday", "family"), "weekend", "workday", *ALBUMS[False]):
        columns = [VOCABULARY.id_of(name) for name in ([names] if isinstance(names, str) else names)]
        values = np.unique(marginals[:, columns[0]].round(9))
        cuts = [-1.0, *((values[1:] + values[:-1]) / 2), 2.0]
        added = np.stack(
            [(marginals[:, columns[0]] > cut) * sum(1 << column for column in columns) for cut in cuts]
        )
        decided = (decided[:, None] + added).reshape(-1, len(truth))
    best = np.zeros(len(decided))
    for image, code, prob in zip(truth.image, set_codes(truth.sets), truth.probs, strict=True):
        best += (decided[:, image] == code) * prob * truth.weights[image]
    assert len(decided) > 10_000
    found = truth.expected_subset_accuracy(marginals > best_thresholds(truth))
    assert found == pytest.approx(best.max())


def test_more_restarts_find_nothing_better_in_the_whole_world():
    world = population()
    scores = [
        world.expected_subset_accuracy(world.marginals > best_thresholds(world, restarts=n, seed=seed))
        for n, seed in ((60, 0), (200, 1))
    ]
    assert scores[0] == pytest.approx(scores[1])


def test_weights_count_pictures_as_often_as_they_say():
    pair = [Cues("sea", "dawn"), Cues("kitchen", "night")]
    weighted = true_distribution(pair, np.array([0.75, 0.25]))
    repeated = true_distribution([pair[0], pair[0], pair[0], pair[1]])
    assert weighted.expected_subset_accuracy(weighted.map_sets) == pytest.approx(
        repeated.expected_subset_accuracy(repeated.map_sets)
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda t: true_distribution([]), ["at least one picture", "none was given"]),
        (lambda t: t.set_probs(t.map_sets[:3]), ["3 label sets", "400 pictures", "one for each"]),
        (lambda t: t.expected_log_likelihood(np.zeros(3)), ["3 log-probabilities", "one for each row"]),
        (lambda t: t.expected_log_likelihood_of_marginals(np.zeros((3, 3))), ["(400, 29)", "(3, 3)"]),
        (lambda t: true_distribution([Cues("sea", "dawn")], np.array([0.5])), ["sum to 1"]),
        (
            lambda t: TrueDistribution(t.image, t.sets, t.probs / 2, t.weights),
            ["must sum to 1", "true_distribution"],
        ),
    ],
)
def test_bad_input_is_answered_with_words_that_repair_it(truth, make, words):
    with pytest.raises(InputError) as caught:
        make(truth)
    for word in words:
        assert word in str(caught.value)
