"""What comes after `tag`: `untag` takes tags back, `watch` tags as photographs arrive, `promote` changes the run."""

from pathlib import Path
from typing import Annotated

import typer

from labelbeam.cli.say import say, say_json


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
        say(f"{file}: {why}", err=True)
    if json_:
        told = {"tags": done.tags, "files": done.files, "not_written": done.not_written}
        say_json(told)
    else:
        left = f"; {len(done.not_written):,} files could not be changed" if done.not_written else ""
        say(f"{folder}: {done.tags:,} tags of {done.files:,} files taken back{left}")


def watch(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    folders: Annotated[list[Path], typer.Argument(help="Folders of photographs.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of sidecars, or a .jsonl file (default: the first folder).")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="xmp, embed, txt or jsonl.")] = "xmp",
    every: Annotated[float, typer.Option(help="Seconds between looks.", min=0.1)] = 10,
    settled: Annotated[
        float, typer.Option(help="Seconds after which a file that does not change is complete.", min=0)
    ] = 5,
    rounds: Annotated[
        int | None, typer.Option(help="Look this often, then end (default: until interrupted).", min=1)
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Pattern of names in folders to pass over; several times for more."),
    ] = None,
) -> None:
    """Tag photographs as they arrive in folders, as `labelbeam tag` does; Ctrl-C ends it."""
    from labelbeam.tagging.request import TagRequest
    from labelbeam.tagging.watching import watch as look_again

    names = [str(folder) for folder in folders]
    request = TagRequest(
        run=run, images=names, out=out or folders[0], format=format_, update=True, exclude=exclude or ()
    )

    def tell(line: str) -> None:
        say(line, err=True)

    try:
        look_again(request, {}, every=every, settled=settled, rounds=rounds, report=tell)
    except KeyboardInterrupt:
        tell("no longer watching.")


def promote(
    new: Annotated[Path, typer.Argument(help="Folder of the new run.")],
    over: Annotated[Path, typer.Option(help="Folder of the run whose place it takes if it is better.")],
    data: Annotated[str, typer.Option(help="Labelled photographs that neither learnt from.")],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Put a new run in an old one's place, only if it is better on the same photographs (paired, 95 % interval)."""
    from labelbeam.tagging.promotion import promote as compare

    done = compare(new, over, data, report=lambda line: say(f"labelbeam: {line}", err=True))
    if json_:
        say_json(done.to_dict())
        return
    say(
        f"F1 of decided sets on {done.images:,} photographs: {done.new:.3f} new, {done.old:.3f} old, difference "
        f"{done.new - done.old:+.3f} [{done.low:+.3f}, {done.high:+.3f}]"
    )
    say(
        f"{over} is the new run now; the old one is {done.kept}."
        if done.promoted
        else f"{over} stays as it is."
    )
