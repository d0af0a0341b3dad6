import numpy as np
import pytest

from labelbeam.formats.voc import VOC_LABELS
from labelbeam.report.label_results import NAMES_BY_KIND, kind_of


def test_no_name_has_two_kinds() -> None:
    every = [name.strip() for names in NAMES_BY_KIND.values() for name in names.split(",")]
    assert len(every) == len(set(every))


def test_every_label_of_voc_has_a_kind() -> None:
    assert {kind_of(name) for name in VOC_LABELS} == {"object"}


@pytest.mark.parametrize("file", ["coco80_labels.npz", "nuswide81_labels.npz"])
def test_every_label_of_coco_and_nus_wide_has_a_kind(file, labelbeam_data) -> None:
    names = np.load(labelbeam_data / "labels" / file)["names"].tolist()
    assert [name for name in names if kind_of(name) is None] == []
