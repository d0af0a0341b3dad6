"""Which column of a CSV file is what, by its name; and the images, lines and splits of its rows as they pass.

Under the layouts. What a column is recognised as is said in the notes. Knows nothing of values that stand for labels.
"""

import re
from array import array
from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.csv_rows import Table
from labelbeam.formats.labelled_rows import DenseLabels, LabelledRows, SparseLabels
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

IMAGE_COLUMNS = frozenset(
    {
        "image",
        "img",
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "path",
        "uri",
        "fname",
        "img_path",
    }
    | {
        "image_path",
        "image_name",
        "image_file",
        "imageid",
        "image_id",
        "img_name",
        "imagename",
        "image_filename",
        "image_index",
    }
)
ID_COLUMNS = frozenset({"id", "image_uid", "dicom_id", "photo_id", "uuid", "guid", "ids", "imdbid"})
"""What names the image where no column of `IMAGE_COLUMNS` does: competitions call their images by an id."""

ADDRESS_COLUMNS = frozenset({"url", "image_url", "img_url", "coco_url", "flickr_url"})
"""What names the image where no column of `IMAGE_COLUMNS` does."""

TAGS_COLUMNS = frozenset(
    {"tags", "tag", "labels", "label", "keywords", "keyword", "classes", "class", "labelname", "label_name"}
    | {"categories", "category", "class_name", "finding_labels", "target", "targets", "genre", "genres"}
    | {"attribute_ids", "image_labels"}
)
CONFIDENCE_COLUMNS = frozenset(
    {"confidence", "score", "probability", "prob", "conf", "scores", "confidences"}
)
TAGGED_COLUMNS = ("image", "tags", "scores", "status", "error")
"""What `tag --out FILE.csv` writes: the labels of an image in one cell, their scores in the next in the same order."""
BOX_COLUMNS = frozenset({"xmin", "x_min", "x1", "bbox", "bbox_x"})
FOLD_COLUMNS = frozenset({"fold", "folds", "kfold"})
SPLIT_COLUMNS = frozenset({"split", "split_name", "ml_use", "subset"})
SPLIT_FLAGS = {
    "is_valid": ("valid", "train"),
    "is_val": ("val", "train"),
    "is_validation": ("validation", "train"),
    "is_test": ("test", "train"),
    "is_train": ("train", "valid"),
}
"""Columns that say yes or no, and the splits that they stand for (fastai writes `is_valid`)."""

BOOKKEEPING = frozenset(
    {
        "",
        "index",
        "idx",
        "id",
        "level_0",
        "fold",
        "folds",
        "kfold",
        "width",
        "height",
        "size",
        "area",
        "url",
        "source",
    }
    | {
        "weight",
        "sample_weight",
        "date",
        "time",
        "timestamp",
        "md5",
        "sha1",
        "sha256",
        "hash",
        "license",
        "row",
    }
    | {
        "confidence",
        "score",
        "annotator",
        "worker",
        "image_url",
        "coco_url",
        "flickr_url",
        "image_id",
        "imageid",
    }
    | {"num_labels", "n_labels", "num_tags", "n_tags", "label_count", "tag_count", "patient_id", "subject_id"}
    | {"study_id", "filesize", "file_size", "channels", *SPLIT_FLAGS, *SPLIT_COLUMNS}
    | {"depth", "year", "reviewed", "is_reviewed", "verified", "is_verified", "checked", "is_checked", "done"}
    | {"annotated", "is_annotated", "labeled", "labelled", "is_labeled", "is_labelled", "augmented"}
    | {"is_augmented", "flipped", "is_flipped", "is_crowd", "iscrowd", "is_duplicate", "is_corrupt", "skip"}
    | {"user", "user_id", "rad_id", "reader", "rater", "created_at", "updated_at", "dataset", "part", "batch"}
)
_BOOKS = re.compile(
    r"unnamed:.*|(?:num|n|no)_(?:of_)?(?:objects|labels|tags|boxes|classes|instances|faces|annotations)"
    r"|.*_(?:id|uuid|count|timestamp)"
)
"""Columns that are no labels among columns that are, in any case; `Unnamed: 0` and the like are too."""

YES_NO = {
    **dict.fromkeys(
        ("1", "1.0", "1.", "1,0", "true", "t", "yes", "y", "x", "✓", "✔", "☑", "+1", "+"), PRESENT
    ),
    **dict.fromkeys(("present", "positive", "pos", "on"), PRESENT),
    **dict.fromkeys(("0", "0.0", "0.", "0,0", "-0.0", "false", "f", "no", "n", "✗", "✘", "☐"), ABSENT),
    **dict.fromkeys(("absent", "negative", "neg", "off"), ABSENT),
    **dict.fromkeys(("?", "unknown", "uncertain", "unsure"), UNKNOWN),
    # as spreadsheets write them in German, French, Spanish, Italian and Portuguese
    **dict.fromkeys(
        ("wahr", "vrai", "verdadero", "vero", "verdadeiro", "ja", "oui", "sí", "si", "sì", "sim"), PRESENT
    ),
    **dict.fromkeys(("falsch", "faux", "falso", "nein", "non", "não"), ABSENT),
}
"""Cells, in any case, that say that a label is present, absent, or that nobody knows."""


def find_column(table: Table, named: str | None, known: Collection[str], content: str, option: str) -> int:
    """Return the position of the column that the option names or whose header is a known one.

    Raises:
        InputError: no such column, or several.
    """
    if named is not None:
        if named not in table.header:
            raise InputError(f"{table.source}: {unknown_name('column', named, table.header)}")
        return table.column(named)
    found = [j for j, name in enumerate(table.header) if folded_name(name) in known]
    if len(found) == 1:
        return found[0]
    names = shown(table.header)
    if found:
        raise InputError(
            f"{table.source}: several columns could hold the {content}: "
            f"{shown(table.header[j] for j in found)}. Name one with {option}."
        )
    raise InputError(
        f"{table.source}: no column of {content} ({', '.join(sorted(known))}) among: {names}. "
        f"The first line names the columns, such as image,tags; or name the column with {option}."
    )


def image_column(table: Table, options: ReadOptions) -> int:
    """Return the position of the column of images; of addresses, else of ids, where there is no other."""
    folded = set(map(folded_name, table.header))
    kinds = (IMAGE_COLUMNS, ADDRESS_COLUMNS, ID_COLUMNS)
    known = next((names for names in kinds if folded & names), IMAGE_COLUMNS)
    return find_column(table, options.image_column, known, "images", "--image-column")


def folded_name(name: str) -> str:
    """Return the name of a column as the tables of this file have it.

    Example:
        >>> folded_name("Image Path")
        'image_path'
    """
    return re.sub(r"[\s-]+", "_", name.casefold())


def position(table: Table, known: Collection[str]) -> int | None:
    """Return the position of the first column with a known name; None where there is none."""
    return next((j for j, name in enumerate(table.header) if folded_name(name) in known), None)


def dropped_columns(table: Table, options: ReadOptions) -> dict[int, str] | None:
    """Return the columns that the user leaves out, by position; None where the user said nothing.

    Raises:
        InputError: a name that no column has.
    """
    if options.drop_columns is None:
        return None
    names = [name.strip() for name in options.drop_columns.split(",") if name.strip()]
    if [name.casefold() for name in names] == ["none"] and "none" not in table.header:
        return {}
    if options.drop_columns in table.header:
        names = [options.drop_columns]
    if strange := [name for name in names if name not in table.header]:
        raise InputError(
            f"{table.source}: --drop-columns: {unknown_name('column', strange[0], table.header)}"
        )
    return {j: name for j, name in enumerate(table.header) if name in names}


def is_bookkeeping(name: str) -> bool:
    """Return whether a column of that name keeps the books of a table, and is no label."""
    folded = folded_name(name)
    return folded in BOOKKEEPING or _BOOKS.fullmatch(folded) is not None


class SplitColumn:
    """The column that says which split a row belongs to.

    Attributes:
        at: its position; None where there is none.
        note: what to say of it.
    """

    def __init__(self, table: Table, options: ReadOptions) -> None:
        gone = dropped_columns(table, options) or {}
        names = [("" if j in gone else folded_name(name)) for j, name in enumerate(table.header)]
        self.at = next((j for j, name in enumerate(names) if name in SPLIT_COLUMNS), None)
        self.note: tuple[str, ...] = ()
        self._words: tuple[str, str] | None = None
        if self.at is None and options.drop_columns is None:
            self.at = next((j for j, name in enumerate(names) if name in SPLIT_FLAGS), None)
            if self.at is not None:
                self._words = SPLIT_FLAGS[names[self.at]]
                self.note = (
                    f"column {table.header[self.at]!r} was read as the splits {self._words[0]} (where it says yes) and "
                    f"{self._words[1]}; --drop-columns none makes it a column like others.",
                )

    def of(self, cell: str) -> str:
        """Return the split that a cell says; empty where it says none."""
        if self._words is None:
            return cell
        value = YES_NO.get(cell.casefold(), UNKNOWN)
        return "" if value == UNKNOWN else self._words[value == ABSENT]


def field_of(fields: list[str], column: int | None) -> str:
    """Return a field; empty where the row is shorter than the header or the column is not there."""
    return fields[column] if column is not None and column < len(fields) else ""


def shown(names: Iterable[str]) -> str:
    """Return the first names, none of them at length, for a message."""
    return ", ".join(name if len(name) < 40 else name[:40] + "…" for name in islice(names, 20))


def refuse_long_row(table: Table, line: int, fields: list[str]) -> None:
    """Raise an error where a row has more fields than the header, and they are not empty."""
    if any(fields[len(table.header) :]):
        raise InputError(
            f"{table.source}, line {line} has {len(fields)} fields, the header {len(table.header)}: "
            f"{table.separator.join(fields)[:80]!r}. Put cells that hold {table.separator!r} in quotes, "
            "or pass --layout ragged if each further cell is a label."
        )


def unread_note(table: Table, read: Iterable[int | None]) -> tuple[str, ...]:
    """Return a note about columns that hold something and were not read; none where there are none."""
    columns = set(read)
    others = [name or "(no name)" for j, name in enumerate(table.header) if j not in columns]
    notes = (f"columns that were not read: {shown(others)}.",) if others else ()
    return (*notes, *fold_note(others))


def fold_note(names: Iterable[str]) -> tuple[str, ...]:
    """Return how a column of folds is read as splits; nothing where no column is one.

    Example:
        >>> fold_note(["Fold", "size"])[0]
        "to read the parts of column 'Fold' as splits, call it 'split': #0 is then one part, #not-0 all others."
    """
    return tuple(
        f"to read the parts of column {name!r} as splits, call it 'split': #0 is then one part, #not-0 all others."
        for name in names
        if name.casefold() in FOLD_COLUMNS
    )


class RowsSeen:
    """Images, lines and splits of rows, as they are gone through."""

    def __init__(self, *, has_splits: bool) -> None:
        self.images: list[str] = []
        self.lines = array("q")
        self.splits: list[str] | None = [] if has_splits else None
        self._distinct: dict[str, str] = {}

    def add(self, line: int, image: str, split: str) -> None:
        """Add a row."""
        # Rows of one image mostly follow each other: one text for all of them.
        self.images.append(self.images[-1] if self.images and self.images[-1] == image else image)
        self.lines.append(line)
        if self.splits is not None:
            self.splits.append(self._distinct.setdefault(split, split))

    def labelled(
        self,
        table: Table,
        names: tuple[str, ...],
        said: SparseLabels | DenseLabels,
        understood: str,
        *,
        one_row_per_image: bool = True,
        taken_apart: bool = False,
        notes: Sequence[str] = (),
    ) -> LabelledRows:
        """Return the rows with their labels.

        Raises:
            InputError: no row.
        """
        if not self.images:
            raise InputError(
                f"{table.source} has no row after its first line, {shown(table.header)!r}. Is it whole?"
            )
        return LabelledRows(
            table.source,
            self.images,
            self.lines,
            self.splits or [],
            names,
            said,
            understood,
            one_row_per_image,
            taken_apart,
            tuple(notes),
        )
