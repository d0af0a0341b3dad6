import pytest

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import Vocabulary, evidence_row

VOCABULARY = Vocabulary(("person", "horse", "dog"))


def test_accepted_and_rejected_names_become_a_row_of_targets() -> None:
    assert evidence_row(VOCABULARY, ["dog", "dog"], ["person"]).tolist() == [0, -1, 1]
    assert evidence_row(VOCABULARY).tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("accepted", "rejected", "words"),
    [
        (["hrose"], [], ["unknown label 'hrose'", "Did you mean 'horse'?"]),
        ([], ["cat"], ["unknown label 'cat'", "Allowed: dog, horse, person"]),
        (["dog", "horse"], ["horse"], ["both accepted and rejected: 'horse'", "leave it out of one"]),
    ],
)
def test_names_that_cannot_be_used_are_reported(accepted, rejected, words) -> None:
    with pytest.raises(InputError) as error:
        evidence_row(VOCABULARY, accepted, rejected)
    assert [word for word in words if word not in str(error.value)] == []
