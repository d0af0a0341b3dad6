from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.labels.rules import Limit, parse_rules, read_rules, satisfiable, smallest_contradiction
from labelbeam.labels.vocabulary import Vocabulary

NAMES = Vocabulary(
    ("dog", "animal", "indoor", "outdoor", "nsfw", "salt and pepper", "salt", "pepper", "bow, weapon")
)
ALL = tuple(range(len(NAMES)))


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        ("exactly one of: indoor, outdoor", [Limit((2, 3), (), 1, 1)]),
        ("At most ONE of: dog, indoor or nsfw", [Limit((0, 2, 4), (), 0, 1)]),
        ("at least 2 of: dog, indoor, outdoor", [Limit((0, 2, 3), (), 2, 3)]),
        ("between one and 2 of: dog, indoor, outdoor", [Limit((0, 2, 3), (), 1, 2)]),
        ("outdoor and indoor never together", [Limit((2, 3), (), 0, 1)]),
        ("dog and animal always together", [Limit((1,), (0,), 0, 0)]),
        ("dog -> animal", [Limit((1,), (0,), 0, 1)]),
        ("dog → animal, outdoor", [Limit((1,), (0,), 0, 1), Limit((3,), (0,), 0, 1)]),
        ("at most 5 labels", [Limit(ALL, (), 0, 5)]),
        ("at least 1 label", [Limit(ALL, (), 1, len(ALL))]),
        ("exactly three labels", [Limit(ALL, (), 3, 3)]),
        ("never: nsfw, dog", [Limit((0, 4), (), 0, 0)]),
        ("always: dog  # ours are all dogs", [Limit((0,), (), 1, 1)]),
        ("salt and pepper never together", [Limit((6, 7), (), 0, 1)]),
        ('"salt and pepper" and dog never together', [Limit((0, 5), (), 0, 1)]),
        ("at most one of: bow, weapon, dog", [Limit((0, 8), (), 0, 1)]),
    ],
)
def test_a_line_means_what_a_person_means_by_it(line, limits):
    (rule,) = parse_rules(line, NAMES).rules
    assert list(rule.limits) == limits


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("exactly one of: indor, outdoor", ["unknown label 'indor'", "Did you mean 'indoor'?"]),
        ("exactly one of: dog,", ["a label is missing"]),
        ("exactly one of: dog", ["at least two labels", "always: a"]),
        ("dog, nsfw -> animal", ["one label stands before the arrow", "a line for each"]),
        ("dog -> dog", ["need not imply itself"]),
        ("dog -> animal or nsfw", ["unknown label 'animal or nsfw'"]),
        ("dog and indoor and nsfw never together", ["two things", "at most one of", "at most 2 of"]),
        ("salt and pepper and dog never together", ['"salt and pepper", "dog"', "Write them in quotes"]),
        ("never: dog, dog", ["'dog' is named twice"]),
        ("at most many labels", ["'many' is no number"]),
        ("between 3 and 1 labels", ["lesser number first"]),
        ("dogs are nice", ["no rule", "exactly one of: a, b", "never: a"]),
    ],
)
def test_a_line_that_cannot_be_used_is_shown_with_what_repairs_it(line, words):
    with pytest.raises(InputError) as refused:
        parse_rules("# a comment\n\n" + line, NAMES, source="rules.txt")
    for word in ["rules.txt", "line 3", repr(line), *words]:
        assert word in str(refused.value)


def test_all_bad_lines_are_named_at_once():
    with pytest.raises(InputError) as refused:
        parse_rules("never: dgo\nat most 5 labels\nfoo\n", NAMES)
    assert "line 1" in str(refused.value)
    assert "line 3" in str(refused.value)


def test_a_file_without_a_rule_or_that_is_not_there_is_refused(tmp_path: Path):
    (tmp_path / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no rule"):
        read_rules(tmp_path / "empty.txt", NAMES)
    with pytest.raises(InputError, match="cannot be read"):
        read_rules(tmp_path / "none.txt", NAMES)


def test_of_contradicting_rules_the_fewest_are_named():
    text = (
        "dog -> animal\nat most 5 labels\nexactly one of: indoor, outdoor\nanimal and indoor never together\n"
        "animal and outdoor never together\nnever: nsfw\nalways: dog\n"
    )
    with pytest.raises(InputError) as refused:
        parse_rules(text, NAMES, source="rules.txt")
    named = [line for line in str(refused.value).splitlines() if "rules.txt, line" in line]
    assert [line.split(":")[0].strip() for line in named] == [f"rules.txt, line {n}" for n in (1, 3, 4, 5, 7)]


def test_evidence_that_contradicts_rules_is_named_with_them():
    rules = parse_rules("exactly one of: indoor, outdoor\ndog -> animal", NAMES)
    rules.check_evidence([0, 2], [3, 4])
    with pytest.raises(InputError) as refused:
        rules.check_evidence([0, 4], [1, 2])
    shown = str(refused.value)
    assert "accepted: dog" in shown
    assert "rejected: animal" in shown
    assert "dog -> animal" in shown
    assert "nsfw" not in shown
    assert "indoor" not in shown


def test_contradictions_are_found_and_are_as_small_as_enumeration_says():
    generator = np.random.default_rng(0)
    sets = np.array([[i >> j & 1 for j in range(5)] for i in range(32)], dtype=bool)
    contradictions = 0
    for _ in range(400):
        limits = []
        for _ in range(generator.integers(2, 8)):
            some = sorted(generator.choice(5, size=int(generator.integers(1, 4)), replace=False).tolist())
            low, high = sorted(generator.integers(0, len(some) + 1, size=2).tolist())
            limits.append(
                Limit(tuple(some), (), low, high) if generator.random() < 0.6 or len(some) < 2
                else Limit(tuple(some[1:]), (some[0],), 0, len(some))
            )  # fmt: skip
        broken = np.stack([limit.broken_by(sets) for limit in limits])  # [limits sets]
        assert satisfiable(limits) == (~broken.any(axis=0)).any()
        found = smallest_contradiction([[limit] for limit in limits])
        sizes = [
            n
            for n in range(1, len(limits) + 1)
            for chosen in combinations(range(len(limits)), n)
            if broken[list(chosen)].any(axis=0).all()
        ]
        if not sizes:
            assert found is None
            continue
        contradictions += 1
        assert broken[found].any(axis=0).all()
        assert len(found) == min(sizes)
    assert contradictions > 40
