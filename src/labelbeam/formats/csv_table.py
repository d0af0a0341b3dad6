"""Labels in a CSV file, in the dialects seen in the wild, as a data set.

Joins the steps: `csv_rows` (text), `csv_layouts` with `csv_tags` and `csv_cells` (names), `labelled_rows`
(images, splits, repeats). Knows nothing of pixels.
"""

from pathlib import Path

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.tables.csv_layouts import read_layout
from labelbeam.formats.tables.csv_rows import opened_table
from labelbeam.formats.tables.labelled_rows import dataset_of_rows

ROBOFLOW_FILE = "_classes.csv"
"""What Roboflow calls the one-hot file that it puts into each split's folder."""


def read_csv(file: Path, split: str = "", *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a CSV file of images and labels.

    Layouts: `image,tags` with a delimiter or a Python list in the cell, and further columns `unknown` and
    `absent` of such cells; one column per label; one row per image and label (Open Images); ragged rows
    (Vertex). The labels are those of the whole file, whatever the split.

    Args:
        file: the CSV file, or a folder whose folders each hold a split's `_classes.csv` (Roboflow).
        split: a value of the column `split`; empty or `all`: every row. Of a Roboflow folder: a folder.
        options: all that name CSV, and `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are the paths as written, with forward slashes. Names are sorted, except with
        one column per label, where they are in the header's order.

    Raises:
        InputError: an encoding, header, delimiter, cell or label that cannot be read or is ambiguous; an
            image given twice with different labels; an unknown split; image files that are missing.
    """
    spec = f"csv:{file}" + (f"#{split}" if split else "")
    if file.is_dir():
        file, split = _roboflow_file(file, split), ""
    with opened_table(file, encoding=options.encoding) as table:
        found = read_layout(table, options)
    return dataset_of_rows(found, split, spec=spec, root=options.root or file.parent, options=options)


def _roboflow_file(folder: Path, split: str) -> Path:
    """Return the file of a split in a folder that Roboflow exported."""
    splits = {file.parent.name: file for file in sorted(folder.glob(f"*/{ROBOFLOW_FILE}"))}
    if not splits:
        files = sorted(file.name for file in folder.glob("*.csv"))
        raise InputError(
            f"csv:{folder} is a folder. Give the CSV file in it, such as "
            f"csv:{folder / (files[0] if files else 'tags.csv')}."
        )
    if split not in splits:
        raise InputError(
            f"csv:{folder}#{split}: {unknown_name('split', split, splits)} "
            f"Each has a {ROBOFLOW_FILE} in its folder."
        )
    return splits[split]
