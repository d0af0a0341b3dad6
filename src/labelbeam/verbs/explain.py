"""`labelbeam explain`: what in an image speaks for each label, given the labels before it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelbeam.errors import InputError

if TYPE_CHECKING:
    from labelbeam.explain.explanation import Explanation


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    image: Annotated[Path, typer.Argument(help="The image.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the strip (PNG), the maps (.npz) and their numbers (JSON)."),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write an HTML page.")] = None,
    target: Annotated[str, typer.Option(help="log_prob, logit or expected.")] = "log_prob",
    method: Annotated[str, typer.Option(help="auto, deconvnet, grad-cam or gradient-input.")] = "auto",
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Explain these labels (a,b) instead of the path that the model says."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Show what in an image speaks for each label of its path, given the labels before it."""
    from labelbeam.joints.explanation import explain as explained
    from labelbeam.joints.explanation_files import told, write_explanation, write_page
    from labelbeam.joints.run_directory import load_run
    from labelbeam.joints.score_table import require_folder
    from labelbeam.verbs.label_names import names_in

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
            print(f"labelbeam: {file}", file=sys.stderr)
    if page is not None:
        write_page([found], page)
    if json_:
        # Names that are not UTF-8 exist on Linux.
        typer.echo(json.dumps(told(found), ensure_ascii=False).encode("utf-8", "backslashreplace"))
    else:
        typer.echo(_text(found))


def _text(found: "Explanation") -> str:
    size = found.picture.shape[0]
    lines = [f"method: {found.method}   target: {found.target}"]
    for step in found.steps:
        x, y = found.region.place(*step.peak, size=size)
        given = f"   after {', '.join(step.given)}" if step.given else ""
        lines.append(f"{step.prob:.3f}\t{step.label}\tmost at x {x:.0f}, y {y:.0f}{given}")
    return "\n".join([*lines, *([found.note] if found.note else [])])
