"""Implications: closed to the end, the same as applying them again and again, circles told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labelbeam.errors import InputError
from labelbeam.labels.implications import (
    Implications,
    close_targets,
    close_upwards,
    implications_of,
    read_implications,
)
from labelbeam.labels.names import NamePair
from labelbeam.labels.vocabulary import Vocabulary

NAMES = ("a", "b", "c", "d", "e")


def pairs_of(*lines: tuple[str, str]) -> list[NamePair]:
    return [NamePair(left, right, f"line {n}") for n, (left, right) in enumerate(lines, 1)]


# Edges point to later letters only, so there is no circle.
acyclic = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda pair: pair[0] < pair[1]), max_size=8
).map(lambda edges: pairs_of(*((NAMES[i], NAMES[j]) for i, j in edges)))


def test_a_file_of_implications_is_closed_transitively(tmp_path):
    file = tmp_path / "implications.txt"
    file.write_text("poodle -> dog\ndog -> mammal\nmammal -> animal\ndog -> pet\n", encoding="utf-8")
    implied = read_implications(file).implied
    assert set(implied["poodle"]) == {"dog", "mammal", "animal", "pet"}
    assert implied["mammal"] == ("animal",)


@given(acyclic, st.permutations(range(8)))
def test_the_order_of_the_lines_does_not_matter(pairs, order):
    shuffled = [pairs[i] for i in order if i < len(pairs)]
    first, second = implications_of(pairs).implied, implications_of(shuffled).implied
    assert {k: set(v) for k, v in first.items()} == {k: set(v) for k, v in second.items()}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([("dog", "animal"), ("animal", "dog")], ["line 2", "'animal' -> 'dog' -> 'animal'", "circle"]),
        ([("a", "b"), ("b", "c"), ("c", "a")], ["line 3", "'c' -> 'a' -> 'b' -> 'c'"]),
        ([("a", "a")], ["line 1", "'a' -> 'a'"]),
    ],
)
def test_a_circle_is_shown_label_by_label(lines, words):
    with pytest.raises(InputError) as error:
        implications_of(pairs_of(*lines))
    assert all(word in str(error.value) for word in words), error.value


def test_a_label_that_implies_itself_is_no_implication():
    with pytest.raises(InputError, match="themselves: 'a'"):
        Implications({"a": ("b", "a")})


def slowly(targets: np.ndarray, names: tuple[str, ...], pairs: list[NamePair]) -> np.ndarray:
    """Apply single implications, upwards then downwards, until nothing changes."""
    closed = targets.copy()
    for value, way in ((1, lambda pair: (pair.left, pair.right)), (0, lambda pair: (pair.right, pair.left))):
        for _ in range(len(pairs) + 1):
            for pair in pairs:
                source, other = (names.index(name) for name in way(pair))
                rows = closed[:, source] == value
                if value == 0:
                    rows &= closed[:, other] == -1
                closed[rows, other] = value
    return closed


@settings(max_examples=80, deadline=None)
@given(acyclic, arrays(np.int8, (6, 5), elements=st.integers(-1, 1)))
def test_closing_at_once_is_applying_each_implication_until_nothing_changes(pairs, targets):
    closed = close_targets(targets, Vocabulary(NAMES), implications_of(pairs))
    assert closed.vocabulary.names == NAMES
    assert closed.targets.tolist() == slowly(targets, NAMES, pairs).tolist()
    again = close_targets(closed.targets, closed.vocabulary, implications_of(pairs))
    assert again.targets.tolist() == closed.targets.tolist()
    assert again.notes == ()


def test_contradictions_and_settled_unknowns_are_counted_in_the_notes():
    targets = np.array([[1, 0], [-1, 0], [-1, -1]], dtype=np.int8)
    closed = close_targets(targets, Vocabulary(("dog", "animal")), Implications({"dog": ("animal",)}))
    assert closed.targets.tolist() == [[1, 1], [0, 0], [-1, -1]]
    assert any("animal in 1 images with dog" in note for note in closed.notes)
    assert any(note.startswith("1 unknown labels") for note in closed.notes)


def test_an_implied_label_that_is_new_is_any_of_those_that_imply_it():
    targets = np.array([[1, 0], [0, -1], [0, 0]], dtype=np.int8)
    rules = implications_of(pairs_of(("dog", "mammal"), ("mammal", "animal"), ("cat", "animal")))
    closed = close_targets(targets, Vocabulary(("dog", "cat")), rules)
    assert closed.vocabulary.names == ("dog", "cat", "mammal", "animal")
    assert closed.targets.tolist() == [[1, 0, 1, 1], [0, -1, 0, -1], [0, 0, 0, 0]]
    assert "mammal, animal" in closed.notes[0]


def test_implications_between_labels_that_the_data_does_not_have_change_nothing():
    targets = np.array([[1]], dtype=np.int8)
    closed = close_targets(targets, Vocabulary(("cat",)), Implications({"dog": ("animal",)}))
    assert (closed.vocabulary.names, closed.targets.tolist(), closed.notes) == (("cat",), [[1]], ())


@settings(max_examples=50, deadline=None)
@given(acyclic, arrays(np.bool_, (6, 5)))
def test_decided_sets_get_what_their_labels_imply_and_lose_nothing(pairs, decided):
    closed = close_upwards(decided, Vocabulary(NAMES), implications_of(pairs))
    expected = slowly(decided.astype(np.int8), NAMES, pairs) == 1
    assert closed.tolist() == (expected | decided).tolist()


def test_the_targets_that_were_given_stay_as_they_are():
    targets = np.array([[1, 0]], dtype=np.int8)
    targets.flags.writeable = False
    close_targets(targets, Vocabulary(("dog", "animal")), Implications({"dog": ("animal",)}))
    assert targets.tolist() == [[1, 0]]
