"""`labelbeam tag`, `untag`, `watch`, `promote`: images to label sets, taken back, as they arrive, by a better run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from labelbeam.cli.options import DECIDE, Differences, SharedOption, say, say_json, takes_options

# `labelbeam tag`: images to label sets; every file gets its answer or its error, also over a kill.

PAGE_PICTURES = 500
"""Pictures on a page, at most: about 10 MB of thumbnails."""

OUTPUT = (
    SharedOption("out", Path, "Write here instead of printing: .jsonl, .csv, .parquet; or a folder."),
    SharedOption(
        "format",
        str,
        "jsonl, csv, parquet; txt, xmp: a file for each image, beside those inside the folder --out; or embed: "
        "keywords inside the photographs (ExifTool).",
    ),
    SharedOption("page", Path, f"Also write an HTML page of the pictures (the first {PAGE_PICTURES})."),
    SharedOption("json", bool, "Print JSON Lines instead of text.", ("--json",)),
    SharedOption("all_scores", bool, "Add the score of every label.", ("--all-scores",)),
    SharedOption(
        "overwrite",
        bool,
        "Replace --out, and forget what an interrupted call has done for it.",
        ("--overwrite",),
    ),
    SharedOption(
        "update", bool, "Tag only what is new, and add it to --out (sidecars do so anyway).", ("--update",)
    ),
    SharedOption(
        "exclude",
        list[str],
        "Pattern of names in folders to pass over, such as Rejects; several times for more.",
    ),
    SharedOption("implications", Path, "What decided labels imply is decided too: lines `dog -> animal`."),
)

KEYWORDS = (
    SharedOption(
        "keyword_lists",
        str,
        "Some of subject,hierarchical,tagslist,iptc (default: all that a file can hold).",
    ),
    SharedOption(
        "tag_root", str, "Above every label in hierarchies, such as auto: auto|dog (default: none)."
    ),
    SharedOption(
        "sidecar_names",
        str,
        "Of new sidecars: auto (a.jpg.xmp, and a.xmp for raw photographs), full, or adobe (a.xmp).",
    ),
    SharedOption("project", Path, "What a person rejected in this project is not written."),
)
"""How keywords are written by `--format xmp` and `embed`."""

VECTORS = (
    SharedOption(
        "store", Path, "Keep image vectors in this folder; images that are there are not read again."
    ),
    SharedOption(
        "engine",
        str,
        "What runs the encoder: auto, torch, onnx or openvino (auto: the fastest for large jobs).",
    ),
    SharedOption(
        "precision",
        str,
        "Of the encoder: auto, float32, bfloat16 or int8 (auto: bfloat16 only where the answers stay).",
    ),
    SharedOption("cluster", str, "ray: on the cluster of RAY_ADDRESS, or on all cores of this machine."),
)
"""With `OUTPUT` and `KEYWORDS`, `tagging.request.TagRequest` on the command line."""


@takes_options(
    output=(OUTPUT, "What is written"),
    keywords=(KEYWORDS, "How keywords are written"),
    vectors=(VECTORS, "How images become vectors"),
    asked=(DECIDE, "How labels are decided"),
)
def tag(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images, folders, @list.txt, or - for names on stdin; may be left out with --store."
        ),
    ] = None,
    *,
    output: Differences,
    keywords: Differences,
    vectors: Differences,
    asked: Differences,
) -> None:
    """Tag images; a file that cannot be read gets a line with its error, and the run goes on.

    With --out, an interrupted call goes on where it was when it is called again. Sidecars of a second call are for
    what is new; those of another run get its tags in place of the first one's, and nobody else's are touched.
    """
    from labelbeam.tagging.job import tag_images
    from labelbeam.tagging.request import TagRequest

    request = TagRequest(
        run=run, images=images or [], page_pictures=PAGE_PICTURES, **output, **keywords, **vectors
    )
    visible = request.where is not None or not sys.stdout.isatty()
    counts = tag_images(request, asked, shown=visible, report=_say)
    if request.where is not None and counts.images:
        _say(f"{request.where.file}: {counts.images:,} images")
    for line in counts.summary(request.images):
        _say(line)
    counts.refuse_nothing_read()


def _say(message: str) -> None:
    say(message, err=True)


# What comes after `tag`: `untag` takes tags back, `watch` tags as photographs arrive, `promote` changes the run.


def untag(
    folder: Annotated[Path, typer.Argument(help="The folder that was --out of `labelbeam tag`.")],
    run: Annotated[
        str | None, typer.Option(help="Only what this run wrote: its folder's name, or its fingerprint.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Take back tags that runs wrote; what people wrote, moved or accepted stays."""
    from labelbeam.tagging.sidecars import untag as take_back

    done = take_back(folder, run)
    for file, why in done.not_written.items():
        say(f"{file}: {why}", err=True)
    if json_:
        outcome = {"tags": done.tags, "files": done.files, "not_written": done.not_written}
        say_json(outcome)
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
    from labelbeam.tagging.job import watch as look_again
    from labelbeam.tagging.request import TagRequest

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
