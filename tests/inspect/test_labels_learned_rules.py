"""Rules that images keep: found where they are beyond chance, with their counts, and written so as to be read again."""

import numpy as np

from labelbeam.inspect.cooccurrence import examined_pairs, pair_counts
from labelbeam.inspect.labels import learned_rules, rules_file
from labelbeam.labels.rules import parse_rules
from labelbeam.labels.vocabulary import Vocabulary

NAMES = ["indoor", "outdoor", "street, at night", "dog", "animal", "rare", 'odd "name"']


def targets(images=600):
    """One of three places each; dogs are animals; a label on two images; one that no rule can write."""
    generator = np.random.default_rng(0)
    found = np.zeros((images, len(NAMES)), dtype=np.int8)
    place = np.arange(images) % 3
    found[np.arange(images), place] = 1
    found[:, 4] = generator.random(images) < 0.4
    found[:, 3] = (found[:, 4] == 1) & (generator.random(images) < 0.5)
    found[:2, 5] = 1
    found[:, 6] = place == 1
    return found


def learned(data):
    return learned_rules(examined_pairs(pair_counts(data)), data, NAMES)


def test_what_never_and_always_meets_is_found_with_its_count_and_nothing_else():
    found = {one["rule"]: one for one in learned(targets())}
    places = found.pop('exactly one of: indoor, outdoor, "street, at night"')
    assert places["images"] == 600
    assert places["share_at_most"] == 0.0188  # Wilson, 0 of 200
    assert round(places["expected"]) == 200
    dogs = found.pop("dog -> animal")
    assert dogs["images"] == targets()[:, 3].sum()
    assert dogs["share_at_least"] < 1
    assert not found  # what two images show is no rule, and a name that no rule can write is left out


def test_one_exception_is_no_rule_and_unknown_labels_are_none():
    data = targets()
    data[0, :2] = 1
    assert all("indoor" not in one["rule"] or "outdoor" not in one["rule"] for one in learned(data))
    data[0, :2] = (1, -1)
    assert any("indoor, outdoor" in one["rule"] for one in learned(data))


def test_what_is_written_is_read_again_and_the_images_keep_it():
    text = rules_file(learned(targets()), "csv:tags.csv#train")
    assert "# on " in text
    rules = parse_rules(text, Vocabulary(tuple(NAMES)))
    assert len(rules) == 2
    assert not any(limit.broken_by(targets() == 1).any() for limit in rules.limits)


def test_two_names_for_one_thing_are_one_rule():
    data = np.array([[1, 1, 0]] * 30 + [[0, 0, 1]] * 30 + [[0, 0, 0]] * 10, dtype=np.int8)
    found = learned_rules(examined_pairs(pair_counts(data)), data, ["sofa", "couch", "car"])
    assert "sofa and couch always together" in [one["rule"] for one in found]
