"""Independent labels under rules against the enumeration of all sets that keep them."""

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.labels.rules import Limit
from labelbeam.predict import under_rules as independent
from labelbeam.predict.under_rules import RuledLabels
from random_rules import kept_sets, random_limits


def cases(count, *, seed=0):
    generator = np.random.default_rng(seed)
    found = 0
    while found < count:
        num_labels = int(generator.integers(2, 7))
        limits = random_limits(generator, num_labels, most=5)
        kept = kept_sets(limits, num_labels)
        if not kept:
            with pytest.raises(InputError, match="no set of labels keeps the rules"):
                RuledLabels(limits, num_labels)
            continue
        found += 1
        logits = 3 * generator.standard_normal((3, num_labels))
        sets = np.array([[i in one for i in range(num_labels)] for one in sorted(kept)])
        yield RuledLabels(limits, num_labels), -np.logaddexp(0, -logits), -np.logaddexp(0, logits), sets


def test_the_best_set_the_mass_and_the_marginals_are_those_of_enumeration():
    for ruled, present, absent, sets in cases(800):
        log_probs = np.where(sets, present[:, None], absent[:, None]).sum(axis=2)  # [images sets]
        total = np.logaddexp.reduce(log_probs, axis=1)
        best = ruled.most_probable(present, absent)
        np.testing.assert_array_equal(best, sets[log_probs.argmax(axis=1)])
        np.testing.assert_allclose(ruled.log_mass(present, absent), total, atol=1e-9)
        shares = np.exp(log_probs - total[:, None])
        np.testing.assert_allclose(ruled.marginals(present, absent), shares @ sets, atol=1e-9)


def test_known_labels_are_conditioned_on_exactly():
    generator = np.random.default_rng(1)
    for ruled, present, absent, sets in cases(200, seed=1):
        known = generator.integers(-1, 2, size=present.shape)
        log_probs = np.where(sets, present[:, None], absent[:, None]).sum(axis=2)
        agrees = ((known[:, None] == -1) | (sets == (known[:, None] == 1))).all(axis=2)
        with np.errstate(divide="ignore"):
            expected = np.log((np.exp(log_probs) * agrees).sum(axis=1))
        given = np.where(known == 0, -np.inf, present), np.where(known == 1, -np.inf, absent)
        found = ruled.log_mass(*given)
        np.testing.assert_allclose(np.exp(found), np.exp(expected), atol=1e-12)
        possible = expected > -np.inf
        shares = (
            np.exp(log_probs - expected[:, None], where=possible[:, None], out=np.zeros_like(log_probs))
            * agrees
        )
        np.testing.assert_allclose(ruled.marginals(*given)[possible], (shares @ sets)[possible], atol=1e-9)


def test_samples_keep_the_rules_and_follow_the_conditioned_distribution():
    uniform = np.random.default_rng(0).random((4000, 6))
    for ruled, present, absent, sets in cases(25, seed=2):
        drawn = ruled.samples(present, absent, uniform[:, : ruled.num_labels])
        kept = {tuple(one) for one in sets.tolist()}
        assert {tuple(one) for one in drawn.reshape(-1, ruled.num_labels).tolist()} <= kept
        np.testing.assert_allclose(drawn.mean(axis=1), ruled.marginals(present, absent), atol=0.04)


def test_blocks_of_images_change_nothing(monkeypatch):
    limits = [Limit((0, 1, 2), (), 1, 1), Limit((3,), (1,), 0, 1), Limit(tuple(range(5)), (), 0, 2)]
    logits = np.random.default_rng(0).standard_normal((50, 5))
    present, absent = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    whole = RuledLabels(limits, 5)
    monkeypatch.setattr(independent, "CELLS_AT_ONCE", 60)
    parts = RuledLabels(limits, 5)
    assert parts._at_once < 10
    np.testing.assert_array_equal(whole.most_probable(present, absent), parts.most_probable(present, absent))
    np.testing.assert_array_equal(whole.marginals(present, absent), parts.marginals(present, absent))


def test_a_hierarchy_with_a_limit_on_all_labels_stays_small_enough():
    limits = [Limit((i // 10 * 10,), (i,), 0, 1) for i in range(80) if i % 10]
    ruled = RuledLabels([*limits, Limit(tuple(range(80)), (), 0, 5)], 80)
    states = sum(len(one) for one in ruled._layers.settled)
    assert states < 5000


def test_rules_without_end_are_refused_with_their_number():
    generator = np.random.default_rng(0)
    limits = [
        Limit(tuple(sorted(generator.choice(60, 20, replace=False).tolist())), (), 5, 9) for _ in range(30)
    ]
    with pytest.raises(InputError, match="30 rules over 60 labels are too entangled"):
        RuledLabels(limits, 60)
