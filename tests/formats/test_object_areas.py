import json

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.formats.object_areas import coco_areas, voc_areas

XML = """<annotation><size><width>100</width><height>50</height></size>
<object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>50</xmax><ymax>50</ymax></bndbox></object>
<object><name>cat</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>10</ymax></bndbox></object>
<object><name>dog</name><difficult>1</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>
<object><name>cow</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object>
</annotation>"""

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 50}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 5, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 50, 50], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 10, 10], "iscrowd": 0},
        {"id": 3, "image_id": 7, "category_id": 5, "bbox": [0, 0, 90, 50], "iscrowd": 1},
    ],
}


def test_the_largest_box_that_is_not_difficult_counts(tmp_path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(XML)
    found = voc_areas(tmp_path, ["a.jpg"], ["cat", "dog"])
    assert found[0, 0] == 0.5
    assert np.isnan(found[0, 1])


def test_crowds_of_coco_do_not_count(tmp_path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(COCO))
    found = coco_areas(tmp_path / "a.json", "", ["b.jpg", "a.jpg"], ["dog", "cat"])
    assert found[1, 1] == 0.5
    assert np.isnan(found).sum() == 3


def test_damaged_annotations_are_told(tmp_path) -> None:
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(InputError, match=r"a\.xml cannot be read"):
        voc_areas(tmp_path, ["a.jpg"], ["cat"])
    (tmp_path / "Annotations" / "a.xml").write_text(XML.replace("<width>100</width>", ""))
    with pytest.raises(InputError, match="size/width must be a number"):
        voc_areas(tmp_path, ["a.jpg"], ["cat"])
    broken = {**COCO, "images": [{"id": 7, "file_name": "a.jpg"}]}
    (tmp_path / "a.json").write_text(json.dumps(broken))
    with pytest.raises(InputError, match="lacks 'width'"):
        coco_areas(tmp_path / "a.json", "", ["a.jpg"], ["cat"])


def test_real_boxes_fit_into_their_images(labelbeam_data) -> None:
    from labelbeam.formats.coco import read_coco

    data = read_coco(labelbeam_data / "coco", "val2017")
    areas = coco_areas(labelbeam_data / "coco", "val2017", data.images, data.vocabulary.names)
    assert np.nanmax(areas) <= 1
    assert (np.isnan(areas) | (data.targets == 1)).all()
    assert np.isnan(areas[data.targets == 1]).mean() < 0.1  # crowds only
