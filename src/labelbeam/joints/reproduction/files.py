"""The two files of a reproduction: every number as JSON, and the page. Writes them whole; computes nothing."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelbeam.data.whole_file import written_whole
from labelbeam.pages.reproduction_page import reproduction_page
from labelbeam.pages.side_by_side import SideBySide

NUMBERS, PAGE = "reproduction.json", "index.html"


def write_files(folder: Path, values: Mapping[str, Any], tables: Sequence[SideBySide]) -> tuple[Path, Path]:
    """Write a reproduction's files and return their paths, the page first.

    Args:
        folder: where they go; it is there.
        values: as `result.reproduce` returns them.
        tables: as `tables.tables_of` lays them out.
    """
    text = json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    for file, content, strange in (
        (NUMBERS, text, "backslashreplace"),
        (PAGE, reproduction_page(values, tables), "replace"),
    ):
        with written_whole(folder / file) as part:
            part.write_bytes(content.encode("utf-8", strange))
    return folder / PAGE, folder / NUMBERS
