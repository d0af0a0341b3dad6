"""The paper's numbers as data, and the arithmetic that looks at them."""

from dataclasses import replace
from itertools import product

import pytest

from labelbeam.formats.voc import VOC_LABELS
from labelbeam.heads.registry import HEADS
from labelbeam.paper.paper_tables import (
    COCO2014,
    MARKS,
    NUSWIDE81,
    PAPER_TABLES,
    VOC2007,
    decided_per_true_label,
    harmonic,
    misfits,
    misfits_of,
    not_exactly_k,
)
from labelbeam.paper.plan import BENCHMARKS
from labelbeam.paper.rows import IN_THE_TABLE, ROWS

EVERY_ROW = [row for table in PAPER_TABLES.values() for row in table.rows]


def test_every_number_has_a_mark_and_every_row_that_we_train_a_head() -> None:
    for row in EVERY_ROW:
        assert {row.mark_of(number) for number in row.printed} <= set(MARKS)
        assert row.head is None or row.head in IN_THE_TABLE
        assert all(0 < value <= 100 for value in row.printed.values())
    assert {row.head for row in ROWS.values()} == set(HEADS)
    assert set(PAPER_TABLES) == set(BENCHMARKS) - {"scenes"}


def test_the_cells_that_do_not_follow_are_these() -> None:
    found = {(one.method, one.number): round(one.implied, 1) for one in misfits(COCO2014)}
    assert found == {("WARP", "OF1"): 60.6, ("No RNN", "CF1"): 59.4, ("No RNN", "OF1"): 64.7}
    others = [one for name, table in PAPER_TABLES.items() if name != "coco2014" for one in misfits(table)]
    assert others == []  # NUS-WIDE's 17.1 and 23.3 are within rounding of 17.03 and 23.23


@pytest.mark.parametrize("row", EVERY_ROW, ids=lambda row: row.method)
def test_a_cell_is_marked_when_no_unrounded_precision_and_recall_give_it(row) -> None:
    marked = {one.number for one in misfits_of(row)}
    steps = [-0.05 + 0.01 * i for i in range(11)]
    for kind in "CO":
        if f"{kind}P" not in row.printed:
            continue
        p, r, f1 = (row.printed[f"{kind}{name}"] for name in ("P", "R", "F1"))
        nearest = min(abs(harmonic(p + a, r + b) - f1) for a, b in product(steps, steps))
        assert (nearest > 0.05 + 1e-9) == (f"{kind}F1" in marked)


def test_a_wrong_mean_is_found() -> None:
    row = VOC2007.rows[-1]
    assert len(row.printed) == 1 + len(VOC_LABELS)
    assert misfits_of(row) == []
    (one,) = misfits_of(replace(row, printed={**row.printed, "mAP": 84.2}))
    assert (one.number, round(one.implied, 2)) == ("mAP", 83.99)


def test_rows_that_decide_exactly_k_share_one_ratio() -> None:
    # Concepts per image implied by the paper's rows: 3 P / R = 2.41, so 1.2448 decided per true one.
    low, high = decided_per_true_label(NUSWIDE81.rows[3])
    assert low < 59.5 / 47.8 < high
    told = not_exactly_k(NUSWIDE81, decided=3 / 2.41)
    assert [sentence.split(":")[0] for sentence in told] == ["Multi-edge graph"]
    told = " ".join(not_exactly_k(COCO2014, decided=3 / 2.90))
    assert "CNN-RNN: O-R / O-P is 0.960" in told
    assert "Softmax:" not in told
