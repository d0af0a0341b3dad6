"""`labelbeam tag`: images to label sets, one line of JSON each, written as they are made, also over a kill."""

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelbeam.errors import InputError

if TYPE_CHECKING:
    from labelbeam.answers.prediction import Prediction
    from labelbeam.joints.journal import Journal

PAGE_PICTURES = 500
"""Pictures on a page, at most: about 10 MB of thumbnails."""


def tag(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    images: Annotated[list[str], typer.Argument(help="Images, folders, @list.txt, or - for names on stdin.")],
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines here instead of printing.")] = None,
    page: Annotated[
        Path | None,
        typer.Option(help=f"Also write an HTML page of the pictures (the first {PAGE_PICTURES})."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON Lines instead of text.")] = False,
    decide: Annotated[
        str | None, typer.Option(help="path (the most probable set), threshold, or expected-f1.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Least score of a decided label (implies --decide threshold).")
    ] = None,
    tuned_for: Annotated[
        str | None,
        typer.Option(
            help="Thresholds that training tuned for: of1, example-f1, label-f1 or subset-accuracy (implies "
            "--decide threshold)."
        ),
    ] = None,
    abstain: Annotated[
        float | None,
        typer.Option(
            help="Decide nothing for images unlike the training's; 0.05 refuses 5 % of those like them."
        ),
    ] = None,
    search: Annotated[str | None, typer.Option(help="exact, beam or greedy.")] = None,
    beam: Annotated[int | None, typer.Option(help="Beam width (implies --search beam).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the run's search or decision, e.g. search.score=max-step."),
    ] = None,
    all_scores: Annotated[bool, typer.Option("--all-scores", help="Add the score of every label.")] = False,
    implications: Annotated[
        Path | None, typer.Option(help="What decided labels imply is decided too: lines `dog -> animal`.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace --out, and forget what an interrupted call has done for it."
        ),
    ] = False,
) -> None:
    """Tag images; a file that cannot be read gets a line with its error, and the run goes on.

    With --out, an interrupted call goes on where it was when it is called again.
    """
    from labelbeam.data.listing import list_images
    from labelbeam.joints.choices import decision_from, search_from, with_settings
    from labelbeam.joints.journal import Journal
    from labelbeam.joints.plain_values import to_plain
    from labelbeam.joints.progress import progress_bar
    from labelbeam.joints.run_directory import fingerprint, load_run
    from labelbeam.joints.score_table import refuse_one_file_for_two, require_folder
    from labelbeam.joints.tagger import Tagger
    from labelbeam.labels.implications import read_implications

    swapped = next((name for name in images if (Path(name) / "labels.json").is_file()), None)
    if swapped and not (run / "labels.json").is_file():
        raise InputError(f"the run comes first: labelbeam tag {swapped} {run}.")
    if all_scores and out is None and not json_:
        raise InputError("--all-scores is for JSON Lines. Add --json, or --out FILE.")
    require_folder("--out", out)
    require_folder("--page", page)
    refuse_one_file_for_two({"--out": out, "--page": page})
    if out is not None and out.exists() and not overwrite:
        raise InputError(
            f"{out} is there already, and would be replaced. Give another --out, or say --overwrite."
        )
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Names that are not UTF-8 exist on Linux.
        sys.stdin.reconfigure(errors="surrogateescape")
    implied = None if implications is None else read_implications(implications)
    paths = list_images(images)
    trained = load_run(run)
    config = with_settings(trained.config, settings or ())
    tagger = Tagger(
        trained,
        decision=decision_from(
            config, decide=decide, threshold=threshold, tuned_for=tuned_for, abstain=abstain
        ),
        search=search_from(config, method=search, beam=beam),
    )
    if tagger.note:
        _say(tagger.note)
    as_json = out is not None or json_
    unreadable = count = 0
    on_page: list[Prediction] = []
    visible = out is not None or not sys.stdout.isatty()
    total = _number_of(images) if visible and sys.stderr.isatty() else None
    job = {
        "images": images,
        "run": fingerprint(run),
        "config": to_plain(tagger.run.config),
        "all_scores": all_scores,
        "implications": None
        if implied is None
        else {name: list(more) for name, more in implied.implied.items()},
    }
    with _lines(out, json=as_json, job=job, anew=overwrite) as lines:
        done = lines.done if isinstance(lines, Journal) else 0
        if done:
            _say(f"{done:,} images are done already; going on.")
        left = lines.remaining(paths) if isinstance(lines, Journal) else paths
        with progress_bar("tagging", total, shown=visible) as advance:
            advance(done)
            for prediction in tagger.tag(left, all_scores=all_scores, implications=implied, report=advance):
                count += 1
                unreadable += bool(prediction.error)
                lines.write(prediction.to_json() if as_json else _text(prediction))
                lines.flush()
                if page is not None and len(on_page) < PAGE_PICTURES:
                    on_page.append(prediction)
    if page is not None:
        _write_page(page, on_page, count)
    if not count + done:
        _say(f"no image found in {', '.join(images)}; inside folders, files count by their suffix.")
    if unreadable:
        _say(f"{unreadable} of {count} files could not be read; each has a line with its error.")


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _text(prediction: "Prediction") -> str:
    if prediction.error:
        return f"{prediction.image}\terror: {prediction.error}"
    said = ", ".join(f"{one.label} {one.score:.2f}" for one in prediction.labels)
    return f"{prediction.image}\t{said or ('(nothing fits)' if prediction.refused else '(no label)')}"


class _Printed:
    """Standard output as lines."""

    def __init__(self, *, json: bool) -> None:
        # A name that is not UTF-8 becomes \\udcXX, which is what JSON calls it too.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(
                encoding="utf-8" if json else sys.stdout.encoding, errors="backslashreplace"
            )

    def write(self, line: str) -> None:
        sys.stdout.write(line + "\n")

    def flush(self) -> None:
        sys.stdout.flush()


@contextmanager
def _lines(
    out: Path | None, *, json: bool, job: "Mapping[str, Any]", anew: bool
) -> "Iterator[Journal | _Printed]":
    """Yield where lines go: standard output, or a journal that becomes the file when all is done."""
    from labelbeam.joints.journal import journal
    from labelbeam.joints.tagger import ANSWERED_TOGETHER

    if out is None:
        yield _Printed(json=json)
        return
    with journal(out, job=job, together=ANSWERED_TOGETHER, anew=anew) as lines:
        yield lines


def _number_of(images: list[str]) -> int | None:
    """Count the images, for a bar that says how long it will take; a list on standard input is read only once."""
    from labelbeam.data.listing import list_images

    return None if "-" in images else sum(1 for _ in list_images(images))


def _write_page(page: Path, predictions: "Sequence[Prediction]", count: int) -> None:
    """Write the page of tagged pictures, and say where a font is missing for it."""
    from html import escape

    from labelbeam.data.whole_file import written_whole
    from labelbeam.pages.fonts import font_advice
    from labelbeam.pages.page import page as html_page
    from labelbeam.pages.tagged_pictures import TaggedPicture, cards

    told = (
        f"{count:,} pictures" if count == len(predictions) else f"The first {len(predictions)} of {count:,}"
    )
    advice = font_advice(one.label for prediction in predictions for one in prediction.labels)
    if advice:
        _say(advice)
    body = [
        f'<p class="quiet">{told}. Under each: the path in the order in which it was said, its log-probability, '
        "and the score of every decided label.</p>",
        f'<p class="bad">{escape(advice)}</p>' if advice else "",
        cards([TaggedPicture(Path(prediction.image), prediction) for prediction in predictions]),
    ]
    with written_whole(page) as part:
        part.write_text(html_page("Tagged pictures", "\n".join(body)), encoding="utf-8")
