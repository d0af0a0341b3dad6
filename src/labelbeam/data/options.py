"""How to read: every switch of every reader, with its default.

Sits before the readers: a caller fills a `ReadOptions`, whoever opens the data set checks that its format
has the switches that were set, the reader obeys them. Knows nothing of files.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from labelbeam.errors import InputError, unknown_name

CHOICES = {
    "difficult": ("unknown", "absent", "present"),
    "missing": ("error", "skip", "keep"),
    "layout": ("tags", "one-hot", "long", "ragged"),
    "combinations": ("error", "keep"),
}


@dataclass(frozen=True)
class ReadOptions:
    """Switches of the readers.

    Attributes:
        difficult: VOC; what a label is that an image shows only in objects marked difficult: `unknown`
            (official: not counted), `absent` or `present`.
        keep_unlabelled: keep images that have no label; the paper's protocol for COCO keeps them.
        missing: image files that are not there: `error` (all are listed), `skip` (left out, and noted) or
            `keep` (labels only: nothing looks whether the files exist).
        delimiter: text formats; what separates labels inside a cell or file; None: recognised, or an error.
        encoding: text formats; the file's encoding, such as `cp932`; None: UTF-8, with or without a byte order mark.
        root: formats of one file; folder that relative image paths start from; None: the file's folder.
        image_column: CSV, Label Studio; the column or field of image paths; None: recognised by its name.
        tags_column: tables, shards, Label Studio; the column, member, field or control that holds the labels;
            None: recognised by its name.
        layout: CSV; `tags`, `one-hot`, `long` (one row per image and label) or `ragged` (labels in as many
            cells as it takes); None: recognised by the header.
        combinations: CSV; what to do when the labels look like combinations of labels: `error` or `keep`.
        aliases: every format; file of lines `old -> new`: labels under another name, merged where both are there.
        deny: every format; labels to leave out, a file with one a line or names with commas between them.
        keep_only: every format; the only labels to keep, given as for `deny`; None: all.
        implications: every format; file of lines `dog -> animal`: what is present implies what is present.
        min_images: every format; labels with fewer images are left out.

    Raises:
        InputError: a value that is not among the choices, an empty delimiter, or a negative number.

    Example:
        >>> ReadOptions(difficult="present").changed()
        ('difficult',)
    """

    difficult: str = "unknown"
    keep_unlabelled: bool = True
    missing: str = "error"
    delimiter: str | None = None
    encoding: str | None = None
    root: Path | None = None
    image_column: str | None = None
    tags_column: str | None = None
    layout: str | None = None
    combinations: str = "error"
    aliases: Path | None = None
    deny: str | None = None
    keep_only: str | None = None
    implications: Path | None = None
    min_images: int = 0

    def __post_init__(self) -> None:
        for option, allowed in CHOICES.items():
            value = getattr(self, option)
            if value is not None and value not in allowed:
                raise unknown_name(f"value of --{option}", value, allowed)
        if self.delimiter == "":
            raise InputError(
                "--delimiter is empty; give the text that separates labels in a cell, such as ';'."
            )

        if self.min_images < 0:
            raise InputError(f"--min-images must be 0 or more, given {self.min_images}.")

    def changed(self) -> tuple[str, ...]:
        """Return the names of the options that differ from their defaults."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) != field.default)


DEFAULTS = ReadOptions()

OF_LABELS = ("aliases", "deny", "keep_only", "implications", "min_images")
"""Switches that every format has, because they apply to what any reader gives (`data.hygiene`)."""
