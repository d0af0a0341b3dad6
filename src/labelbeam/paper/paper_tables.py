"""The paper's result tables, as data, and whether their numbers fit each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from labelbeam.formats.voc import VOC_LABELS

# A mark says how far a number may be trusted: "2+" was seen in two or more independent sources, "1" in one, "recalled"
# is recalled and not verified: a lead, not a citation.
#
# Source: Wang et al., CNN-RNN, CVPR 2016, Tables 1 to 4, as far as talks, later papers and repositories repeat them.

MARKS = {
    "2+": "seen in two or more independent sources",
    "1": "seen in one source",
    "recalled": "recalled, not verified: do not cite it from here",
}

OF_DECISIONS = ("CP", "CR", "CF1", "OP", "OR", "OF1")
PRINTED = (*OF_DECISIONS, "MAP@10")


@dataclass(frozen=True)
class PaperRow:
    """A line of a table of the paper; percent, as printed.

    Attributes:
        method: its name there.
        head: the name of our counterpart among `runs.config.HEADS`; None: we train none.
        printed: percent by number; what the paper leaves empty is not in it.
        mark: how well the row is known; a name of `MARKS`.
        marks: the same for single numbers that are known better or worse.
        doubt: what else is odd about the row.
    """

    method: str
    head: str | None
    printed: Mapping[str, float]
    mark: str
    marks: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""

    @property
    def source(self) -> str:
        """Who printed it: the paper, or others who ran its baselines again."""
        return "printed" if "et al." in self.method else "paper"

    def mark_of(self, number: str) -> str:
        """Return how well one number is known."""
        return self.marks.get(number, self.mark)


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        title: what it is about.
        rows: its lines, in its order.
        remarks: sentences that belong below it.
    """

    title: str
    numbers: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    remarks: tuple[str, ...] = ()


def _row(
    method: str,
    head: str | None,
    values: tuple[float | None, ...],
    mark: str = "recalled",
    *,
    marks: Mapping[str, str] | None = None,
    doubt: str = "",
) -> PaperRow:
    printed = {name: value for name, value in zip(PRINTED, values, strict=True) if value is not None}
    return PaperRow(method, head, printed, mark, marks or {}, doubt)


def _voc(method: str, head: str | None, mean: float, mark: str, mean_mark: str, *aps: float) -> PaperRow:
    values = {"mAP": mean, **dict(zip(VOC_LABELS, aps, strict=True))}
    return PaperRow(method, head, values, mark, {"mAP": mean_mark})


COPIED = (
    "The paper's KNN, Softmax and WARP rows equal, after rounding, those of Gong et al., whose features are others: "
    "they compare features as well as methods."
)

NUSWIDE81 = PaperTable(
    "NUS-WIDE, 81 concepts, k = 3",
    PRINTED,
    (
        _row("Metric learning", None, (None, None, None, None, None, 21.3, None), doubt="weakly remembered"),
        _row("Multi-edge graph", None, (None, None, None, 35.0, 37.0, 36.0, None)),
        _row("KNN", "knn", (32.6, 19.3, 24.3, 42.9, 53.4, 47.6, None)),
        _row("Softmax", "softmax", (31.7, 31.2, 31.4, 47.8, 59.5, 53.0, None)),
        _row("WARP", "warp", (31.7, 35.6, 33.5, 48.6, 60.5, 53.9, None)),
        _row(
            "CNN-RNN",
            "cnn-rnn",
            (40.5, 30.4, 34.7, 49.9, 61.7, 55.2, 56.1),
            marks={"CF1": "1", "MAP@10": "1"},
        ),
    ),
    (COPIED, "Which split the paper used was never published; its sizes fit images that have a concept."),
)

NUSWIDE1000 = PaperTable(
    "NUS-WIDE, 1,000 tags, k = 10",
    PRINTED,
    (
        _row(
            "Softmax",
            "softmax",
            (14.2, 18.6, 16.1, 17.1, 28.8, 21.5, 24.3),
            doubt="its MAP@10 is weakly remembered",
        ),
        _row(
            *("WARP", "warp", (14.5, 15.9, 15.2, 18.3, 30.8, 22.9, 24.6)),
            marks={"OP": "1", "OR": "1"},
            doubt="its MAP@10 is weakly remembered",
        ),
        _row(
            *("CNN-RNN", "cnn-rnn", (19.2, 15.3, 17.1, 18.5, 31.2, 23.3, 26.6)),
            marks={"OP": "1", "OR": "1"},
            doubt="its MAP@10 is weakly remembered",
        ),
    ),
    (COPIED,),
)

COCO2014 = PaperTable(
    "MS COCO 2014, 80 classes, k = 3",
    PRINTED,
    (
        _row("Softmax", "softmax", (59.0, 57.0, 58.0, 60.2, 62.1, 61.1, 47.4)),
        _row("WARP", "warp", (59.3, 52.5, 55.7, 59.8, 61.4, 60.7, 49.2)),
        _row("Binary cross-entropy", "sigmoid", (59.3, 58.6, 58.9, 61.7, 65.0, 63.3, None)),
        _row("No RNN", "no-rnn", (65.3, 54.5, 59.3, 68.5, 61.3, 65.7, 57.2), doubt="least trusted row"),
        _row("CNN-RNN", "cnn-rnn", (66.0, 55.6, 60.4, 69.2, 66.4, 67.8, 61.2), "2+"),
        _row(*("Softmax, Rezatofighi et al. 2018", None), *((58.6, 57.6, 58.1, 60.7, 63.3, 62.0, None), "1")),
        _row(
            *("Cross-entropy, Rezatofighi et al. 2018", None),
            *((56.2, 60.1, 58.1, 61.6, 64.2, 62.9, None), "1"),
        ),
    ),
    (
        "The last two rows are not the paper's: the same baselines, run again with VGG-16 at k = 3 by others.",
        "Later papers list 61.2 as mAP; it is MAP@10, a mean over images of another quantity.",
    ),
)

VOC2007 = PaperTable(
    "PASCAL VOC 2007, average precision",
    ("mAP", *VOC_LABELS),
    (
        _voc(
            *("INRIA", None, 63.5, "recalled", "recalled"),
            *(77.2, 69.3, 56.2, 66.6, 45.5, 68.1, 83.4, 53.6, 58.3, 51.1),
            *(62.2, 45.2, 78.4, 69.7, 86.1, 52.4, 54.4, 54.3, 75.8, 62.1),
        ),
        _voc(
            *("CNN-SVM", None, 73.9, "recalled", "recalled"),
            *(88.5, 81.0, 83.5, 82.0, 42.0, 72.5, 85.3, 81.6, 59.9, 58.5),
            *(66.5, 77.8, 81.8, 78.8, 90.2, 54.8, 71.1, 62.6, 87.4, 71.8),
        ),
        _voc(
            *("I-FT", None, 74.4, "recalled", "recalled"),
            *(91.4, 84.7, 87.5, 81.8, 40.2, 73.0, 86.4, 84.8, 51.8, 63.9),
            *(67.9, 82.7, 84.0, 76.9, 90.4, 51.5, 79.9, 54.1, 89.5, 65.8),
        ),
        _voc(
            *("HCP-1000C", None, 81.5, "recalled", "recalled"),
            *(95.1, 90.1, 92.8, 89.9, 51.5, 80.0, 91.7, 91.6, 57.7, 77.8),
            *(70.9, 89.3, 89.3, 85.2, 93.0, 64.0, 85.7, 62.7, 94.4, 78.3),
        ),
        _voc(
            *("CNN-RNN", "cnn-rnn", 84.0, "1", "2+"),
            *(96.7, 83.1, 94.2, 92.8, 61.2, 82.1, 89.1, 94.2, 64.2, 83.6),
            *(70.0, 92.4, 91.7, 84.2, 93.7, 59.8, 93.2, 75.3, 99.7, 78.6),
        ),
    ),
    (
        "The paper does not give its rule of AP (11 points or area) nor what is done with difficult objects: ours is "
        "given in every way.",
        "Which baselines the paper printed is recalled, not verified.",
    ),
)

PAPER_TABLES: Mapping[str, PaperTable] = {
    "voc2007": VOC2007,
    "coco2014": COCO2014,
    "nuswide81": NUSWIDE81,
    "nuswide1000": NUSWIDE1000,
}
"""By the name of the benchmark; the drawn scenes have none."""

# Numbers are printed with one decimal, so each stands for an interval of a tenth; only what no unrounded number could
# explain is marked. Computed from `paper_tables`, nothing is written down twice.

HALF_A_DIGIT = 0.05
"""How far a printed number may be from the one that was rounded."""


@dataclass(frozen=True)
class Misfit:
    """A printed number that does not follow from others.

    Attributes:
        printed: what stands there, percent.
        implied: what follows from the others, percent.
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
        >>> from labelbeam.paper.paper_tables import COCO2014
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
        decided: labels decided for each true label by exactly k: k over the mean number of true labels.

    Returns:
        Sentences; a tolerance of 1 % allows for another selection of the same images.
    """
    sentences = []
    for row in table.rows:
        bounds = decided_per_true_label(row)
        if bounds and not bounds[0] / 1.01 <= decided <= bounds[1] * 1.01:
            sentences.append(
                f"{row.method}: O-R / O-P is {row.printed['OR'] / row.printed['OP']:.3f}, but deciding exactly k here "
                f"gives {decided:.3f}. Another number of labels was decided there, or on other images."
            )
    return sentences
