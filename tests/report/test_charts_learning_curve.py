"""The learning curve: points where the numbers say, gaps for what was not measured, names escaped."""

from xml.etree import ElementTree

from labelbeam.report.charts import HIGH, learning_curve


def test_points_stand_where_their_numbers_say_and_unmeasured_epochs_have_none() -> None:
    lines = {"<train>": (4.0, 2.0, 1.0), "val": (None, 3.0, None)}
    drawn = ElementTree.fromstring(learning_curve((1.0, 2.0, 3.0), lines, title="loss & more", best=2.0))
    at = [(one.get("cx"), float(one.get("cy"))) for one in drawn.iter("circle")]
    top = 8
    assert at == [
        ("0.00%", top),
        ("50.00%", top + HIGH / 2),
        ("100.00%", top + 3 * HIGH / 4),
        ("50.00%", top + HIGH / 4),
    ]
    assert [one.get("x1") for one in drawn.iter("line") if one.get("class") == "best"] == ["50.00%"]
    hints = [one.text for one in drawn.iter("title")]
    assert hints[:2] == ["loss & more", "<train>, epoch 1: 4"]


def test_one_epoch_is_no_curve() -> None:
    assert learning_curve((1.0,), {"train": (2.0,)}, title="loss") == ""
