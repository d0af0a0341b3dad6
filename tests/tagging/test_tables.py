"""Tables of a job: nothing of the lines is lost, other programs read them, memory is of a few rows."""

import csv
import json
from pathlib import Path

import pytest

from labelbeam.data.dataset import ReadOptions
from labelbeam.formats.csv_table import read_csv
from labelbeam.predict.decision import Decision
from labelbeam.predict.prediction import Prediction, ScoredLabel
from labelbeam.tagging import tables as tag_tables
from labelbeam.tagging.journal import recorded, records
from labelbeam.tagging.tables import asked_columns, csv_table, is_our_parquet, parquet_table

LABELS = ("dog", "traffic light")


def scored(name: str, score: float) -> ScoredLabel:
    return ScoredLabel(name, score, score - 0.1, score + 0.1, 0.01)


SAID = (
    Prediction(
        "人/a.jpg", (scored("dog", 0.9), scored("traffic light", 0.625)), "path", LABELS, -1.5, exact=True
    ),
    Prediction("b.jpg", (scored("traffic light", 0.75),), "path", ("traffic light",), None, fits=0.5),
    Prediction("c.jpg", (), "path", (), -0.25, fits=0.01, refused=True),
    Prediction("caf\udce9.jpg", error='damaged, "badly"'),
)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "lines"
    with file.open("w", encoding="utf-8", errors="backslashreplace") as out:
        out.writelines(one.to_json() + "\n" for one in SAID)
    return file


def test_a_line_is_read_back_as_the_prediction_it_was(lines: Path) -> None:
    read = list(records(lines))
    assert [one.to_json() for one in read] == [one.to_json() for one in SAID]
    assert read[:3] == list(SAID[:3])
    assert recorded('{"image": "a", "error": "b", "not_written": "c"}') == Prediction("a", error="b")


def test_csv_has_a_row_for_every_image_with_its_status(lines: Path, tmp_path: Path) -> None:
    csv_table(LABELS, all_scores=False)(lines, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["image", "tags", "scores", "status", "error"],
        ["人/a.jpg", "dog;traffic light", "0.9;0.625", "ok", ""],
        ["b.jpg", "traffic light", "0.75", "ok", ""],
        ["c.jpg", "", "", "refused", ""],
        ["caf\\udce9.jpg", "", "", "unreadable", 'damaged, "badly"'],
    ]


def test_csv_is_read_by_our_own_reader_also_where_no_image_has_two_labels(
    lines: Path, tmp_path: Path
) -> None:
    kept = lines.read_text().splitlines(keepends=True)
    for some, expected in (
        (kept[:3], [("dog", "traffic light"), ("traffic light",), ()]),
        (kept[1:3], [("traffic light",), ()]),
    ):
        lines.write_text("".join(some))
        csv_table(LABELS, all_scores=False)(lines, tmp_path / "a.csv")
        read = read_csv(tmp_path / "a.csv", options=ReadOptions(missing="keep"))
        assert [read.example(i).present for i in range(len(read))] == expected


def test_with_all_scores_csv_has_a_column_for_each_label(tmp_path: Path) -> None:
    one = Prediction("a.jpg", (), scores={"dog": 0.25, "traffic light": 0.5})
    (tmp_path / "lines").write_text(one.to_json() + "\n" + Prediction("b.jpg", error="x").to_json() + "\n")
    csv_table(LABELS, all_scores=True)(tmp_path / "lines", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["score traffic light"] for row in rows] == ["0.5", ""]


PROMISED = Prediction(
    "a.jpg",
    (scored("dog", 0.9),),
    kept=0.75,
    promise="recall >= 0.9 on average",
    void=True,
    unseen=False,
    sets=((("dog",), 0.5), ((), 0.25)),
)


def test_what_rules_and_promises_say_of_an_image_is_in_its_row(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text(f"{PROMISED.to_json()}\n{Prediction('b.jpg', error='x').to_json()}\n")
    decision = Decision(rule="promise", promise="recall=0.9", on_average=True, sets_among=0.9)
    assert asked_columns(Decision(), ruled=False) == ()
    asked = asked_columns(decision, ruled=True)
    csv_table(LABELS, all_scores=False, more=asked)(tmp_path / "lines", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["kept"], rows[0]["void"], rows[0]["status"]) == ("0.75", "1", "person")
    assert json.loads(rows[0]["sets"]) == [{"labels": ["dog"], "prob": 0.5}, {"labels": [], "prob": 0.25}]
    assert (rows[1]["kept"], rows[1]["void"], rows[1]["sets"]) == ("", "", "")
    assert read_csv(tmp_path / "a.csv", options=ReadOptions(missing="keep")).example(0).present == ("dog",)
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet_table(all_scores=False)(tmp_path / "lines", tmp_path / "a.parquet")
    said, failed = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert (said["kept"], said["void"], said["unseen"], said["promise"]) == (
        *(0.75, True, False),
        "recall >= 0.9 on average",
    )
    assert said["sets"] == [{"labels": ["dog"], "prob": 0.5}, {"labels": [], "prob": 0.25}]
    assert (failed["kept"], failed["void"], failed["sets"]) == (None, None, None)


def test_parquet_holds_what_the_lines_hold_in_row_groups(
    lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(tag_tables, "ROWS", 3)
    parquet_table(all_scores=True)(lines, tmp_path / "a.parquet")
    file = parquet.ParquetFile(tmp_path / "a.parquet")
    assert file.num_row_groups == 2
    rows = file.read().to_pylist()
    assert [row["image"] for row in rows] == ["人/a.jpg", "b.jpg", "c.jpg", "caf\\udce9.jpg"]
    assert [row["status"] for row in rows] == ["ok", "ok", "refused", "unreadable"]
    assert (rows[0]["labels"], rows[0]["scores"]) == (["dog", "traffic light"], [0.9, 0.625])
    assert (rows[0]["log_prob"], rows[1]["log_prob"], rows[3]["log_prob"]) == (-1.5, None, None)
    assert (rows[0]["exact"], rows[3]["exact"], rows[3]["error"]) == (True, None, 'damaged, "badly"')
    assert is_our_parquet(tmp_path / "a.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    parquet.write_table(pyarrow.table({"image": ["a"]}), tmp_path / "other.parquet")
    assert not is_our_parquet(tmp_path / "other.parquet")
    assert not is_our_parquet(lines)
