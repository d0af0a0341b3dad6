"""Class numbers for cleanlab: written, read back, refused with a reason."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from mutations import damages, reads_or_refuses
from round_trip import drawn, names_any, said

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.json_documents import read_cleanlab, write_cleanlab
from labelbeam.labels.vocabulary import Vocabulary

KEEP = ReadOptions(missing="keep")


def test_labels_are_lists_of_class_numbers(tmp_path):
    targets = np.array([[1, 0, 1], [0, 0, -1]], dtype=np.int8)
    dataset = Dataset("x", tmp_path, ("a.jpg", "b.jpg"), Vocabulary(("dog", "cat", "sky")), targets)
    notes = write_cleanlab(dataset, tmp_path / "labels.json", split="", images="keep")
    assert json.loads((tmp_path / "labels.json").read_text()) == {
        "labels": [[0, 2], []],
        "class_names": ["dog", "cat", "sky"],
        "images": ["a.jpg", "b.jpg"],
    }
    assert notes == ("1 unknown labels were written as absent, because the format has no word for unknown.",)


@settings(deadline=None)
@given(drawn())
def test_what_is_written_is_read_back_or_refused_by_name(content):
    with tempfile.TemporaryDirectory() as folder:
        dataset = content.dataset(Path(folder))
        file = Path(folder) / "labels.json"
        refusal = None
        try:
            write_cleanlab(dataset, file, split="", images="keep")
        except InputError as error:
            refusal = error
        again = read_cleanlab(file, "", options=KEEP) if refusal is None else None
    if again is None:
        assert names_any(refusal, dataset)
        return
    assert again.vocabulary == dataset.vocabulary
    assert said(again) == said(dataset, unknown=0)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "is not of the form"),
        ({"labels": [[0]], "images": ["a.jpg"]}, "is not of the form"),
        ({"labels": [[0]], "class_names": ["cat"], "images": [1]}, "is not of the form"),
        ({"labels": [[0]], "class_names": ["cat"], "images": []}, "1 lists of labels, 0 images"),
        ({"labels": [[1]], "class_names": ["cat"], "images": ["a.jpg"]}, r"labels\[0\]: class number 1"),
        ({"labels": [["cat"]], "class_names": ["cat"], "images": ["a.jpg"]}, "must be class numbers"),
        ({"labels": [[0]], "class_names": ["cat"], "images": [""]}, r"images\[0\]: the image is empty"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, document, words):
    (tmp_path / "labels.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=words):
        read_cleanlab(tmp_path / "labels.json", "", options=KEEP)


@given(damage=damages())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_damaged_file_is_read_or_refused(tmp_path, damage):
    file = tmp_path / "labels.json"
    document = {"labels": [[0, 1], []], "class_names": ["cat", "dog"], "images": ["a.jpg", "x/b.jpg"]}
    file.write_text(json.dumps(document))
    for options in (KEEP, ReadOptions(missing="skip")):
        reads_or_refuses(file, damage, lambda options=options: read_cleanlab(file, "", options=options))
