"""`labelbeam report` and `labelbeam explain`: a run on one page; what in an image speaks for each label."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelbeam.cli.options import READ, Differences, say, say_json, takes_options
from labelbeam.errors import InputError

if TYPE_CHECKING:
    from labelbeam.explain.explanation import Explanation

# `labelbeam report`: one page that shows a run on labelled images, with every number in a JSON file beside it.

WITHOUT_JSON = "the numbers go to a file of the same name that ends in .json"


@takes_options(read=(READ, "How the data is read"))
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
    from labelbeam.files import written_whole
    from labelbeam.formats.registry import open_dataset
    from labelbeam.metrics.score_table import require_folder
    from labelbeam.report.page import report_page
    from labelbeam.report.report import report_on
    from labelbeam.runs.choices import reading_of
    from labelbeam.runs.run_directory import load_run

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
        say(f"labelbeam: {path}", err=True)


# `labelbeam explain`: what in an image speaks for each label, given the labels before it.


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    image: Annotated[Path, typer.Argument(help="The image.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the strip (PNG), the maps (.npz) and their numbers (JSON)."),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write an HTML page.")] = None,
    target: Annotated[str, typer.Option(help="log_prob, logit or expected.")] = "log_prob",
    method: Annotated[
        str, typer.Option(help="auto, local (with --local), deconvnet, grad-cam or gradient-input.")
    ] = "auto",
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Explain these labels (a,b) instead of the path that the model says."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Show what in an image speaks for each label of its path, given the labels before it."""
    from labelbeam.cli.options import names_in
    from labelbeam.explain.explained_run import explain as explained
    from labelbeam.explain.explained_run import explanation_dict, write_explanation, write_page
    from labelbeam.metrics.score_table import require_folder
    from labelbeam.runs.run_directory import load_run

    require_folder("--page", page)
    if out is not None and out.suffix in (".html", ".png", ".json"):
        raise InputError(
            f"--out {out} names a file; it is a folder. For one page: --page {out.with_suffix('.html')}."
        )
    trained = load_run(run)
    asked = None if labels is None else names_in(labels, trained.vocabulary.names)
    found = explained(trained, image, target=target, method=method, labels=asked)
    if out is not None:
        for file in write_explanation(found, out):
            say(f"labelbeam: {file}", err=True)
    if page is not None:
        write_page([found], page)
    if json_:
        # Names that are not UTF-8 exist on Linux.
        say_json(explanation_dict(found))
    else:
        say(_text(found))


def _text(found: "Explanation") -> str:
    size = found.picture.shape[0]
    lines = [f"method: {found.method}   target: {found.target}"]
    for step in found.steps:
        x, y = found.region.place(*step.peak, size=size)
        given = f"   after {', '.join(step.given)}" if step.given else ""
        lines.append(f"{step.prob:.3f}\t{step.label}\tmost at x {x:.0f}, y {y:.0f}{given}")
    return "\n".join([*lines, *([found.note] if found.note else [])])
