"""The sentence that says what was understood, however many images are looked at together."""

import numpy as np
import pytest

from labelbeam.formats import labelled_images as summary
from labelbeam.formats.labelled_images import has_label, understood

TARGETS = np.array([[0, 0], [-1, 0], [0, 1], [-1, 1], [0, 0]], dtype=np.int8)


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_images_labels_and_unknowns_are_counted_and_one_image_is_shown(monkeypatch, chunk):
    monkeypatch.setattr(summary, "_CHUNK", chunk)
    assert has_label(TARGETS).tolist() == [False, False, True, True, False]
    assert understood(("a", "b", "c", "d", "e"), ("cat", "dog"), TARGETS, "by hand") == (
        "this is what I understood: 5 images, 2 labels, by hand, e.g. c -> dog; 3 images without a label; "
        "2 labels of images are unknown."
    )


def test_without_any_label_the_first_image_is_shown():
    sentence = understood(("a",), ("cat",), np.zeros((1, 1), dtype=np.int8), "by hand")
    assert sentence.endswith("e.g. a -> no label; 1 images without a label.")
