"""`labelbeam data convert`: a data set from one format to another."""

from pathlib import Path
from typing import Annotated

import typer

from labelbeam.verbs.option_groups import READ, Differences, takes_options


@takes_options("read", READ, panel="How the data is read")
def convert(
    source: Annotated[str, typer.Argument(help="What to read, FORMAT:PATH#SPLIT.")],
    target: Annotated[str, typer.Argument(help="What to write, FORMAT:PATH#SPLIT.")],
    images: Annotated[
        str, typer.Option(help="Image files: keep (stay where they are), link (hard links) or copy.")
    ] = "keep",
    *,
    read: Differences,
) -> None:
    """Convert labelled images from any format to any that can be written."""
    from labelbeam.data.options import ReadOptions
    from labelbeam.joints.spec import open_dataset, parse_spec, write_dataset

    dataset = open_dataset(source, options=ReadOptions(**read))
    notes = write_dataset(dataset, target, images=images)
    for note in (*dataset.notes, *notes):
        typer.echo(f"labelbeam: {note}", err=True)
    where: Path | None = parse_spec(target).path
    typer.echo(f"{where}: {len(dataset):,} images, {len(dataset.vocabulary):,} labels ({target})")
