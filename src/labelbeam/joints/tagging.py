"""A call of `labelbeam tag`, from what was asked for to what became of every image.

Chooses the source, the record and the engine, and joins them; each of the three is a module of its own
(`tag_sources`, `tag_outputs`, `engine_of_job`). Knows no command line.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from labelbeam.data.listing import list_images
from labelbeam.joints.asked_tagger import asked_tagger
from labelbeam.joints.engine_of_job import with_job_engine
from labelbeam.joints.plain_values import to_plain
from labelbeam.joints.run_directory import fingerprint
from labelbeam.joints.survey import Survey, survey
from labelbeam.joints.tag_outputs import Printed, Recorded, recording
from labelbeam.joints.tag_request import TagRequest
from labelbeam.joints.tag_sources import (
    Choices,
    Source,
    from_images,
    on_cluster,
    open_store,
    through_store,
)
from labelbeam.joints.tagger import Tagger
from labelbeam.joints.tagging_job import Counts, do_job
from labelbeam.labels.implications import read_implications


def tag_images(
    request: TagRequest, asked: Mapping[str, Any], *, shown: bool, report: Callable[[str], None]
) -> Counts:
    """Do what a call asks for; an interrupted job goes on where it was.

    Args:
        request: images and outputs.
        asked: how labels are decided, as `asked_tagger` takes it.
        shown: whether progress is shown on a terminal.
        report: told a sentence that a person may want to read.

    Returns:
        What became of the images; none may have been readable.

    Raises:
        InputError: an image that is named does not exist, or as `asked_tagger`, `with_job_engine`, `open_store` and
            `recording`.
    """
    implied = None if request.implications is None else read_implications(request.implications)
    choices = Choices(request.all_scores, implied)
    paths: Iterable[Path] = list_images(request.images)
    tagger = asked_tagger([request.run], asked)
    if tagger.note:
        report(tagger.note)
    # A listing of a million files takes seconds: only where somebody sees the number, or the engine depends on it.
    before = _surveyed(request) if shown or request.names_an_engine else Survey()
    tagger = _with_engine(tagger, request, before, report)
    total = before.count
    with ExitStack() as opened:
        if request.store is not None:
            stored = opened.enter_context(
                open_store(request.store, tagger.run.encoder, write=bool(request.images))
            )
            source = through_store(tagger, stored, choices, read=bool(request.images))
            if not request.images:
                paths, total = map(Path, stored.names()), len(stored)
        else:
            source = _source(tagger, request, choices)
        record = _record(opened, request, tagger, choices)
        counts = do_job(record, source, paths, total=total, shown=shown, report=report)
        if request.page is not None:
            from labelbeam.joints.tagged_page import write_page

            first = record.first(request.page_pictures)
            write_page(request.page, first, counts.images, report=report)
    return counts


def _surveyed(request: TagRequest) -> Survey:
    """Look at all images before the job does; a list on standard input can be read only once."""
    return Survey() if "-" in request.images else survey(list_images(request.images))


def _with_engine(
    tagger: Tagger, request: TagRequest, before: Survey, report: Callable[[str], None]
) -> Tagger:
    if not request.images or request.cluster is not None:
        return tagger
    tagger, told = with_job_engine(
        tagger,
        engine=request.engine,
        precision=request.precision,
        photographs=before.some,
        images=before.count if request.where is not None else None,  # who reads along waits for no graph
        exactly=request.store is not None,
    )
    if told:
        report(told)
    return tagger


def _source(tagger: Tagger, request: TagRequest, choices: Choices) -> Source:
    if request.cluster is not None:
        return on_cluster(request.run, tagger, choices)
    return from_images(tagger, choices)


def _record(opened: ExitStack, request: TagRequest, tagger: Tagger, choices: Choices) -> Printed | Recorded:
    """Return what predictions go to; a record in a file is closed when `opened` is."""
    if request.where is None:
        keep = request.page_pictures if request.page else 0
        return Printed(json=request.prints_json, keep=keep)
    encoder = tagger.run.encoder
    job = {
        "images": list(request.images) or str(request.store),
        "run": fingerprint(request.run),
        "config": to_plain(tagger.run.config),
        # As settled, not as asked: what `auto` finds must not change in the middle of a file.
        "encoder": [encoder.engine, encoder.precision],
        **choices.told(),
    }
    return opened.enter_context(
        recording(
            request.where,
            job=job,
            labels=tagger.labels,
            named=request.images,
            choices=choices,
            overwrite=request.overwrite,
        )
    )
