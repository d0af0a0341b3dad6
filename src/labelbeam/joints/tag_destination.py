"""Where the results of a job go, and in which format: what the user named, and what may be replaced there.

Looked at before any work. Writes nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from labelbeam.errors import InputError, unknown_name
from labelbeam.joints.tag_sidecars import KINDS
from labelbeam.joints.tag_tables import CSV_COLUMNS, is_our_parquet, parquet_table

SUFFIXES = {
    "": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
"""What the name of `--out` says."""

FORMATS = ("jsonl", "csv", "parquet", *KINDS)
"""Formats of a job's result, as `--format` names them."""

RECORD = "tags.jsonl"
"""What the record of a job is called that writes sidecars below a folder."""


@dataclass(frozen=True)
class Destination:
    """A file or folder, and its format.

    Attributes:
        out: the file; of sidecars, the folder.
        format: one of `FORMATS`.

    Raises:
        InputError: an unknown format.
    """

    out: Path
    format: str

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise unknown_name("format", self.format, FORMATS)

    @property
    def file(self) -> Path:
        """The file that holds a line or row for every image."""
        return self.out / RECORD if self.format in KINDS else self.out

    def check(self, *, overwrite: bool) -> None:
        """Refuse a place where nothing can be written or something would be lost, before any work.

        Args:
            overwrite: whether an earlier result of ours may be replaced.

        Raises:
            InputError: no such folder, a folder where a file is needed, a result that is there, somebody else's file;
                Parquet without pyarrow.
        """
        if self.format in KINDS:
            if self.out.exists() and not self.out.is_dir():
                raise InputError(
                    f"--out {self.out}: sidecars go into a folder, and this is a file. Give the folder."
                )
            if not self.out.parent.is_dir():
                raise InputError(f"--out {self.out}: there is no folder {self.out.parent}. Create it first.")
        elif self.out.is_dir():
            name = self.out / f"tags.{self.format}"
            raise InputError(f"--out {self.out} is a folder. Name a file, such as {name}.")
        elif not self.out.parent.is_dir():
            raise InputError(f"--out {self.out}: there is no folder {self.out.parent}. Create it first.")
        if self.format == "parquet":
            parquet_table(all_scores=False)  # is pyarrow there?
        if not self.file.exists():
            return
        if not overwrite:
            raise InputError(
                f"{self.file} is there already, and would be replaced. Give another --out, or say --overwrite."
            )
        if not self._is_ours():
            raise InputError(
                f"--out {self.file}: a file is there that is no result of labelbeam's; it is not overwritten. Give "
                "another name, or remove it."
            )

    def _is_ours(self) -> bool:
        if self.format == "parquet":
            return is_our_parquet(self.file)
        with self.file.open("rb") as file:
            start = file.read(64).lstrip()
        return not start or start.startswith((b"{", ",".join(CSV_COLUMNS).encode()))


def destination(out: Path | None, format: str | None) -> Destination | None:
    """Return where results go; None: to standard output.

    Args:
        out: what the user named.
        format: what the user said; None: as the suffix of `out` says.

    Raises:
        InputError: an unknown format or suffix, or a format that cannot be printed.
    """
    if format is not None and format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    if out is None:
        if format in KINDS:
            raise InputError(
                f"--format {format} needs --out FOLDER. Give the images' own folder to have the files beside them."
            )
        if format not in (None, "jsonl"):
            raise InputError(f"--format {format} needs --out FILE; only jsonl can be printed.")
        return None
    if format is None and out.suffix.lower() not in SUFFIXES and not out.is_dir():
        raise InputError(
            f"--out {out}: which format is {out.suffix!r}? Add --format {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; "
            f"or end the name in .jsonl, .csv or .parquet."
        )
    return Destination(out, format or SUFFIXES.get(out.suffix.lower(), "jsonl"))
