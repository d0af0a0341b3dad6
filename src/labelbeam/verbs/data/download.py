"""`labelbeam data download`: a published data set into a folder, its terms shown first.

Knows only how to ask and how to show; `labelbeam.data.download` does it.
"""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from labelbeam.data.published import PublishedDataset


def download(
    name: Annotated[
        str,
        typer.Argument(help="voc2007, voc2012, coco2014, coco2017, nuswide, openimages or openimages-train."),
    ],
    to: Annotated[Path, typer.Option(help="Folder that gets a folder of the data set's name.")],
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="Leave out files that hold images alone (COCO).")
    ] = False,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You have read the terms, which are shown without this.")
    ] = False,
) -> None:
    """Fetch a published data set: resumed, checked, unpacked; all of it or nothing."""
    from labelbeam.data.download import install
    from labelbeam.data.published import PUBLISHED
    from labelbeam.errors import InputError, unknown_name

    if name not in PUBLISHED:
        raise unknown_name("published data set", name, PUBLISHED)
    published = PUBLISHED[name]
    if not accept_terms:
        again = shlex.join(
            [
                "labelbeam",
                "data",
                "download",
                name,
                "--to",
                str(to),
                *(["--labels-only"] if labels_only else []),
            ]
        )
        raise InputError(
            "nothing was fetched yet. Read this first:\n"
            + "\n".join(_told(published, labels_only=labels_only))
            + f"\nIf you agree: {again} --accept-terms"
        )
    with _progress() as report:
        found = install(published, to, labels_only=labels_only, report=report)
    for note in (*found.notes, *(published.notes if found.fetched else ())):
        typer.echo(f"labelbeam: {note}", err=True)
    print(found.folder)
    for spec in published.specs_in(found.folder):
        print(f"  {spec}")


def _told(published: "PublishedDataset", *, labels_only: bool) -> list[str]:
    """Return what a user should know before the first byte."""
    lines = [published.title]
    for file in published.wanted(labels_only=labels_only):
        size = "size unknown" if file.size is None else f"{file.size / 1e6:,.0f} MB"
        checked = (
            "checked"
            if file.sha256 or file.md5
            else "no checksum is published; recorded at the first download"
        )
        lines.append(f"  {file.url} ({file.holds}, {size}, {checked}{', optional' if file.optional else ''})")
    if known := published.size(labels_only=labels_only):
        lines.append(f"  about {2 * known / 1e9:,.1f} GB are needed for the archives and what is in them")
    return [*lines, *published.terms, *published.notes]


@contextmanager
def _progress() -> Iterator[Callable[[str, int | None, int], None]]:
    """Show a bar per file on a terminal, nothing elsewhere."""
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    tasks: dict[str, progress.TaskID] = {}

    def report(name: str, size: int | None, count: int) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=size)
        bar.update(tasks[name], completed=count)

    with bar:
        yield report
