"""`labelbeam tag`: images to label sets, one line of JSON each, written as they are made."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer


def tag(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    images: Annotated[list[str], typer.Argument(help="Images, folders, @list.txt, or - for names on stdin.")],
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines here instead of printing.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON Lines instead of text.")] = False,
    decide: Annotated[str | None, typer.Option(help="path (the most probable set) or threshold.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Least score of a decided label (implies --decide threshold).")
    ] = None,
    search: Annotated[str | None, typer.Option(help="exact, beam or greedy.")] = None,
    beam: Annotated[int | None, typer.Option(help="Beam width (implies --search beam).")] = None,
    all_scores: Annotated[bool, typer.Option("--all-scores", help="Add the score of every label.")] = False,
) -> None:
    """Tag images; a file that cannot be read gets a line with its error, and the run goes on."""
    from labelbeam.data.listing import list_images
    from labelbeam.joints.choices import decision_from, search_from
    from labelbeam.joints.progress import progress_bar
    from labelbeam.joints.run_directory import load_run
    from labelbeam.joints.score_table import require_folder
    from labelbeam.joints.tagger import Tagger

    require_folder("--out", out)
    trained = load_run(run)
    tagger = Tagger(
        trained,
        decision=decision_from(trained.config.decision, decide=decide, threshold=threshold),
        search=search_from(trained.config.search, method=search, beam=beam),
    )
    paths = list_images(images)
    unreadable = count = 0
    with _lines(out) as lines, progress_bar("tagging", None) as advance:
        for prediction in tagger.tag(paths, all_scores=all_scores, report=advance):
            count += 1
            unreadable += bool(prediction.error)
            if out is not None or json_:
                text = prediction.to_json()
            elif prediction.error:
                text = f"{prediction.image}\terror: {prediction.error}"
            else:
                said = ", ".join(f"{one.label} {one.score:.2f}" for one in prediction.labels)
                text = f"{prediction.image}\t{said or '(no label)'}"
            lines.write(text + "\n")
            lines.flush()
    if unreadable:
        print(
            f"{unreadable} of {count} files could not be read; each has a line with its error.",
            file=sys.stderr,
        )


@contextmanager
def _lines(out: Path | None) -> Iterator[TextIO]:
    """Yield where lines go: standard output, or a file that appears whole when all is done."""
    if out is None:
        yield sys.stdout
        return
    from labelbeam.data.whole_file import written_whole

    with written_whole(out) as part, part.open("w", encoding="utf-8") as file:
        yield file
