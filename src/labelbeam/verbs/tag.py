"""`labelbeam tag`: images to label sets; every file gets its answer or its error, also over a kill."""

import io
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelbeam.errors import InputError, unknown_name
from labelbeam.verbs.option_groups import DECIDE, Differences, takes_options

if TYPE_CHECKING:
    from labelbeam.answers.prediction import Prediction
    from labelbeam.joints.tag_outputs import Recorded

PAGE_PICTURES = 500
"""Pictures on a page, at most: about 10 MB of thumbnails."""


@takes_options("asked", DECIDE, panel="How labels are decided")
def tag(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images, folders, @list.txt, or - for names on stdin; may be left out with --store."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write here instead of printing: .jsonl, .csv, .parquet; or a folder.")
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="jsonl, csv, parquet; or txt, xmp: a file for each image, beside those inside the folder --out.",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help=f"Also write an HTML page of the pictures (the first {PAGE_PICTURES})."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON Lines instead of text.")] = False,
    all_scores: Annotated[bool, typer.Option("--all-scores", help="Add the score of every label.")] = False,
    implications: Annotated[
        Path | None, typer.Option(help="What decided labels imply is decided too: lines `dog -> animal`.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Keep image vectors in this folder; images that are there are not read again."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="What runs the encoder: auto, torch, onnx or openvino (auto: the fastest for large jobs)."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Of the encoder: auto, float32, bfloat16 or int8 (auto: bfloat16 only where the answers stay)."
        ),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="ray: on the cluster of RAY_ADDRESS, or on all cores of this machine.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace --out, and forget what an interrupted call has done for it."
        ),
    ] = False,
    *,
    asked: Differences,
) -> None:
    """Tag images; a file that cannot be read gets a line with its error, and the run goes on.

    With --out, an interrupted call goes on where it was when it is called again.
    """
    from labelbeam.data.listing import list_images
    from labelbeam.joints.asked_tagger import asked_tagger
    from labelbeam.joints.engine_of_job import with_job_engine
    from labelbeam.joints.plain_values import to_plain
    from labelbeam.joints.run_directory import fingerprint
    from labelbeam.joints.score_table import refuse_one_file_for_two, require_folder
    from labelbeam.joints.tag_destination import destination
    from labelbeam.joints.tag_outputs import Printed, recording
    from labelbeam.joints.tag_sources import Choices, from_images, on_cluster, open_store, through_store
    from labelbeam.joints.tagging_job import do_job
    from labelbeam.labels.implications import read_implications

    named = images or []
    _refuse_misplaced(run, named, store=store, cluster=cluster, encoder=engine or precision)
    where = destination(out, format_)
    as_json = json_ or format_ is not None
    if all_scores and where is None and not as_json:
        raise InputError("--all-scores is for JSON Lines. Add --json, or --out FILE.")
    require_folder("--page", page)
    if where is not None:
        where.check(overwrite=overwrite)
        refuse_one_file_for_two({"--out": where.file, "--page": page})
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Names that are not UTF-8 exist on Linux.
        sys.stdin.reconfigure(errors="surrogateescape")
    choices = Choices(all_scores, None if implications is None else read_implications(implications))
    paths = list_images(named)
    tagger = asked_tagger([run], asked)
    if tagger.note:
        _say(tagger.note)
    visible = where is not None or not sys.stdout.isatty()
    # A listing of a million files takes seconds: only where somebody sees the number, or the engine depends on it.
    total = _number_of(named) if visible or engine or precision else None
    if named and cluster is None:
        tagger, told = with_job_engine(
            tagger,
            engine=engine,
            precision=precision,
            photographs=_some_of(named, total),
            images=total if where is not None else None,  # who reads along waits for no graph
            exactly=store is not None,
        )
        if told:
            _say(told)
    with ExitStack() as opened:
        if store is not None:
            stored = opened.enter_context(open_store(store, tagger.run.encoder, write=bool(named)))
            source = through_store(tagger, stored, choices, read=bool(named))
            if not named:
                paths, total = map(Path, stored.names()), len(stored)
        elif cluster is not None:
            source = on_cluster(run, tagger, choices)
        else:
            source = from_images(tagger, choices)
        job = {
            "images": named or str(store),
            "run": fingerprint(run),
            "config": to_plain(tagger.run.config),
            # As settled, not as asked: what `auto` finds must not change in the middle of a file.
            "encoder": [getattr(tagger.run.encoder, "engine", "torch"), tagger.run.encoder.precision],
            **choices.told(),
        }
        record: Printed | Recorded
        if where is None:
            record = Printed(json=as_json, keep=PAGE_PICTURES if page else 0)
        else:
            record = opened.enter_context(
                recording(
                    where, job=job, labels=tagger.labels, named=named, choices=choices, overwrite=overwrite
                )
            )
        counts = do_job(record, source, paths, total=total, shown=visible, report=_say)
        if page is not None:
            _write_page(page, record.first(PAGE_PICTURES), counts.images)
    for line in counts.told(named):
        _say(line)
    counts.refuse_nothing_read()


def _say(message: str) -> None:
    print(message, file=sys.stderr)


def _refuse_misplaced(
    run: Path, named: Sequence[str], *, store: Path | None, cluster: str | None, encoder: str | None
) -> None:
    """Refuse arguments in the wrong order, missing ones, and two ways to the vectors at once."""
    swapped = next((name for name in named if (Path(name) / "labels.json").is_file()), None)
    if swapped and not (run / "labels.json").is_file():
        raise InputError(f"the run comes first: labelbeam tag {swapped} {run}.")
    if not named and store is None:
        raise InputError(
            "no image is named. Give images, folders or @list.txt; or --store FOLDER of an earlier call."
        )
    if cluster is not None and cluster != "ray":
        raise unknown_name("cluster", cluster, ["ray"])
    if cluster is not None and encoder is not None:
        raise InputError(
            "--engine and --precision are for this machine; workers of --cluster use the run as it is."
        )
    if cluster is not None and store is not None:
        raise InputError(
            "--store keeps vectors on this machine, --cluster makes them on others. Leave one out."
        )


def _number_of(images: Sequence[str]) -> int | None:
    """Count the images, to say how long it will take; a list on standard input is read only once."""
    from labelbeam.data.listing import list_images

    return None if "-" in images else sum(1 for _ in list_images(images))


def _some_of(images: Sequence[str], count: int | None) -> list[Path]:
    """Return some of the images, evenly spaced; none of a list on standard input, which is read only once."""
    from labelbeam.data.listing import list_images
    from labelbeam.joints.engine_of_job import SAMPLED

    if not count:
        return []
    step = max(1, count // SAMPLED)
    return list(islice(list_images(images), 0, step * SAMPLED, step))


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
