"""`labelbeam data inspect`: what is in labelled data, and what is wrong with it, before anything is trained."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelbeam.errors import InputError
from labelbeam.verbs.option_groups import READ, Differences, takes_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labelbeam.data.dataset import Dataset


@takes_options("read", READ, panel="Reading")
def inspect(
    data: Annotated[str, typer.Argument(help="Data set, FORMAT:PATH#SPLIT; described in detail.")],
    val: Annotated[
        list[str] | None,
        typer.Option(help="Another split, compared with the first; may be given several times."),
    ] = None,
    test: Annotated[list[str] | None, typer.Option(help="The same, under another name.")] = None,
    images: Annotated[
        bool,
        typer.Option("--images/--no-images", help="Open every image: unreadable files, sizes, duplicates."),
    ] = True,
    pairs: Annotated[int, typer.Option(help="Pairs of labels listed in each direction.", min=1)] = 200,
    page: Annotated[Path | None, typer.Option(help="Also write one self-contained HTML page.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the JSON object to this file.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    *,
    read: Differences,
) -> None:
    """Look through labelled data: frequencies, pairs, duplicates, leakage, unreadable files, odd names."""
    from labelbeam.data.options import ReadOptions
    from labelbeam.joints.inspection import inspect_data, open_splits
    from labelbeam.joints.inspection_text import show_inspection
    from labelbeam.joints.score_table import require_folder

    require_folder("--out", out)
    require_folder("--page", page)
    if page is not None and page == out:
        raise InputError(f"--page and --out are the same file, {page}. Name two files.")
    splits = open_splits([data, *(val or ()), *(test or ())], options=ReadOptions(**read))
    found = inspect_data(splits, images=images, pairs=pairs)
    if out is not None:
        _write(out, _as_json(found, indent=1) + "\n")
    if page is not None:
        _write_page(page, found, splits)
    if json_:
        typer.echo(_as_json(found))
    elif out is None:
        show_inspection(found)


def _as_json(found: dict[str, Any], *, indent: int | None = None) -> str:
    """Return the object as JSON; a file name that is not UTF-8 becomes an escape, as JSON has it too."""
    text = json.dumps(found, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _write_page(page: Path, found: dict[str, Any], splits: "Mapping[str, Dataset]") -> None:
    from labelbeam.pages.fonts import font_advice
    from labelbeam.pages.inspection_page import inspection_page

    if advice := font_advice(row["label"] for row in found["labels"]):
        print(advice, file=sys.stderr)
    _write(page, inspection_page(found, splits))


def _write(path: Path, text: str) -> None:
    from labelbeam.data.whole_file import written_whole

    try:
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Choose another file.") from error
