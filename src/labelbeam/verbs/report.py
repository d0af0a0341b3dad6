"""`labelbeam report`: one page that shows a run on labelled images, with every number in a JSON file beside it."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from labelbeam.errors import InputError
from labelbeam.verbs.option_groups import READ, Differences, takes_options

WITHOUT_JSON = "the numbers go to a file of the same name that ends in .json"


@takes_options("read", READ, panel="How the data is read")
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    data: Annotated[str, typer.Option(help="Labelled images that it was not trained on, FORMAT:PATH#SPLIT.")],
    out: Annotated[Path, typer.Option(help="The page, .html; the numbers go beside it as .json.")],
    beside: Annotated[Path | None, typer.Option(help="A rival run, compared on the same images.")] = None,
    images: Annotated[
        int,
        typer.Option(
            help="Images shown with what speaks for their labels; half are the worst.", min=0, max=40
        ),
    ] = 6,
    answer_at_most: Annotated[
        int | None,
        typer.Option(
            help="Images answered for, drawn at random from more; not given: as many as make 4 million scores.",
            min=2,
            show_default=False,
        ),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(help="Resamples of the images for 95 % intervals; 0: scores have none.", min=0)
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the resampling and of the images drawn.", min=0)] = 0,
    *,
    read: Differences,
) -> None:
    """Show a run on one page: scores, calibration, labels, pairs, mistakes, attention, likely label errors."""
    from labelbeam.data.whole_file import written_whole
    from labelbeam.joints.choices import reading_of
    from labelbeam.joints.report import report_on
    from labelbeam.joints.run_directory import load_run
    from labelbeam.joints.score_table import require_folder
    from labelbeam.joints.spec import open_dataset
    from labelbeam.pages.report_page import report_page

    require_folder("--out", out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {out}: a report is a page. Give a name that ends in .html; {WITHOUT_JSON}.")
    if bootstrap == 1:
        raise InputError(
            "--bootstrap 1: an interval needs at least 2 resamples; 1000 is usual, 0 gives none."
        )
    dataset = open_dataset(data, options=reading_of(load_run(run).config.read, data, read))
    found = report_on(
        *(run, dataset),
        beside=beside,
        images=images,
        answer_at_most=answer_at_most,
        resamples=bootstrap,
        seed=seed,
    )
    numbers = out.with_suffix(".json")
    # Names that are not UTF-8 exist on Linux.
    texts = {
        numbers: json.dumps(found.to_json(), ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        out: report_page(found.values, found.images, found.error_paths),
    }
    for path, text in texts.items():
        with written_whole(path) as part:
            part.write_bytes(text.encode("utf-8", "backslashreplace" if path == numbers else "replace"))
        print(f"labelbeam: {path}", file=sys.stderr)
