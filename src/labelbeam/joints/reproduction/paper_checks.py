"""Whether the paper's numbers fit each other: F1 from P and R, a mean from its APs, decided labels per image.

Numbers are printed with one decimal, so each stands for an interval of a tenth; only what no unrounded number could
explain is marked. Computed from `paper_tables`, nothing is written down twice.
"""

from dataclasses import dataclass

from labelbeam.joints.reproduction.paper_tables import PaperRow, PaperTable

HALF_A_DIGIT = 0.05
"""How far a printed number may be from the one that was rounded."""


@dataclass(frozen=True)
class Misfit:
    """A printed number that does not follow from others.

    Attributes:
        method: the row.
        number: the cell.
        printed: what stands there, percent.
        implied: what follows from the others, percent.
        why: a sentence.
    """

    method: str
    number: str
    printed: float
    implied: float
    why: str


def harmonic(precision: float, recall: float) -> float:
    """Return the F1 of a precision and a recall, in their unit; 0 where both are."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def misfits_of(row: PaperRow) -> list[Misfit]:
    """Return the cells of a row that no rounding explains.

    Example:
        >>> from labelbeam.joints.reproduction.paper_tables import COCO2014
        >>> [(one.number, one.printed, round(one.implied, 1)) for one in misfits_of(COCO2014.rows[1])]
        [('OF1', 60.7, 60.6)]
    """
    return [*_f1_misfits(row), *_mean_misfits(row)]


def _f1_misfits(row: PaperRow) -> list[Misfit]:
    found = []
    for kind in "CO":
        names = (f"{kind}P", f"{kind}R", f"{kind}F1")
        if not all(name in row.printed for name in names):
            continue
        precision, recall, f1 = (row.printed[name] for name in names)
        # F1 rises in both, so its extremes lie at the corners.
        low = harmonic(precision - HALF_A_DIGIT, recall - HALF_A_DIGIT) - HALF_A_DIGIT
        high = harmonic(precision + HALF_A_DIGIT, recall + HALF_A_DIGIT) + HALF_A_DIGIT
        if not low <= f1 <= high:
            implied = harmonic(precision, recall)
            why = f"the F1 of {precision:.1f} and {recall:.1f} is {implied:.1f}, printed is {f1:.1f}"
            found.append(Misfit(row.method, names[2], f1, implied, why))
    return found


def _mean_misfits(row: PaperRow) -> list[Misfit]:
    aps = [value for name, value in row.printed.items() if name != "mAP"]
    if "mAP" not in row.printed or not aps:
        return []
    mean, printed = sum(aps) / len(aps), row.printed["mAP"]
    if abs(mean - printed) <= 2 * HALF_A_DIGIT:
        return []
    why = f"the {len(aps)} APs average {mean:.1f}, printed is {printed:.1f}"
    return [Misfit(row.method, "mAP", printed, mean, why)]


def misfits(table: PaperTable) -> list[Misfit]:
    """Return every misfit of a table, row by row."""
    return [one for row in table.rows for one in misfits_of(row)]


def decided_per_true_label(row: PaperRow) -> tuple[float, float] | None:
    """Return the bounds, for rounding, of decided labels per true label: O-R / O-P; None without both.

    O-P = TP / N and O-R = TP / G, so their ratio is N / G: methods that all decide exactly k labels of the same
    images have the same one.
    """
    if "OP" not in row.printed or "OR" not in row.printed:
        return None
    precision, recall = row.printed["OP"], row.printed["OR"]
    return (
        (recall - HALF_A_DIGIT) / (precision + HALF_A_DIGIT),
        (recall + HALF_A_DIGIT) / (precision - HALF_A_DIGIT),
    )


def not_exactly_k(table: PaperTable, *, decided: float) -> list[str]:
    """Say which rows did not decide as many labels as a protocol does.

    Args:
        table: of the paper.
        decided: labels decided for each true label by exactly k: k over the mean number of true labels.

    Returns:
        Sentences; a tolerance of 1 % allows for another selection of the same images.
    """
    told = []
    for row in table.rows:
        bounds = decided_per_true_label(row)
        if bounds and not bounds[0] / 1.01 <= decided <= bounds[1] * 1.01:
            told.append(
                f"{row.method}: O-R / O-P is {row.printed['OR'] / row.printed['OP']:.3f}, but deciding exactly k here "
                f"gives {decided:.3f}. Another number of labels was decided there, or on other images."
            )
    return told
