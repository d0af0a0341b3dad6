"""`labelbeam untag`: take back what a run wrote into sidecars and photographs."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def untag(
    folder: Annotated[Path, typer.Argument(help="The folder that was --out of `labelbeam tag`.")],
    run: Annotated[
        str | None, typer.Option(help="Only what this run wrote: its folder's name, or its fingerprint.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Take back tags that runs wrote; what people wrote, moved or accepted stays."""
    from labelbeam.tagging.untagging import untag as take_back

    done = take_back(folder, run)
    for file, why in done.not_written.items():
        print(f"{file}: {why}", file=sys.stderr)
    if json_:
        told = {"tags": done.tags, "files": done.files, "not_written": done.not_written}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        left = f"; {len(done.not_written):,} files could not be changed" if done.not_written else ""
        typer.echo(f"{folder}: {done.tags:,} tags of {done.files:,} files taken back{left}")
