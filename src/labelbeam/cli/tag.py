"""`labelbeam tag`: images to label sets; every file gets its answer or its error, also over a kill."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from labelbeam.cli.options import DECIDE, Differences, SharedOption, takes_options
from labelbeam.cli.say import say

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


@takes_options("output", OUTPUT, panel="What is written")
@takes_options("keywords", KEYWORDS, panel="How keywords are written")
@takes_options("vectors", VECTORS, panel="How images become vectors")
@takes_options("asked", DECIDE, panel="How labels are decided")
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
    for line in counts.told(request.images):
        _say(line)
    counts.refuse_nothing_read()


def _say(message: str) -> None:
    say(message, err=True)
