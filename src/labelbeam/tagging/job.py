"""A call of `labelbeam tag`, from what was asked for to what became of every image; `watch` repeats it."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

import numpy as np

from labelbeam.data.image_bytes import image_bytes, image_mark
from labelbeam.data.listing import LeftOut, list_images
from labelbeam.encoders.encoder import GivenFeatures
from labelbeam.errors import InputError
from labelbeam.formats.registry import parse_spec
from labelbeam.formats.vectors import GivenVectors, open_vectors
from labelbeam.heads.registry import HEADS
from labelbeam.labels.implications import read_implications
from labelbeam.labels.vocabulary import ABSENT
from labelbeam.progress import progress_bar
from labelbeam.project.project_file import Project
from labelbeam.project.schema import content_hash
from labelbeam.runs.config import to_plain
from labelbeam.runs.run_directory import fingerprint
from labelbeam.runs.tagger import (
    LEAST_IMAGES,
    Tagger,
    asked_tagger,
    estimates_nothing,
    nothing_as_seen,
    with_nothing,
)
from labelbeam.tagging import sources
from labelbeam.tagging.journal import settings_of
from labelbeam.tagging.outputs import Printed, Recorded, recording
from labelbeam.tagging.request import TagRequest
from labelbeam.tagging.sidecars import KINDS, KeywordChoices
from labelbeam.tagging.tables import asked_columns, choosing_for


@dataclass(frozen=True)
class Survey:
    """Images of a job, before they are read.

    Attributes:
        count: how many they are; None where they were not counted.
        some: at most `SAMPLED` of them, evenly spread.
    """

    count: int | None = None
    some: Sequence[Path] = ()


def survey(paths: Iterable[Path], *, most: int = sources.SAMPLED) -> Survey:
    """Go through a listing once; what is held of it at a time is twice the sample.

    Args:
        paths: all images of the job.
        most: images of the sample, at least 1.

    Example:
        >>> found = survey((Path(f"{i}.jpg") for i in range(1000)), most=2)
        >>> found.count, [path.name for path in found.some]
        (1000, ['0.jpg', '512.jpg'])
    """
    kept: list[Path] = []
    count, step = 0, 1
    for path in paths:
        if count % step == 0:
            kept.append(path)
            if len(kept) == 2 * most:
                del kept[1::2]
                step *= 2
        count += 1
    size = min(most, len(kept))
    return Survey(count, tuple(kept[i * len(kept) // size] for i in range(size)))


LOG_EVERY = 60.0
"""Seconds between lines that say how far a job is, where standard error is no terminal."""


@dataclass(frozen=True)
class Counts:
    """What became of a job's images, those of earlier calls included.

    Attributes:
        images: how many there were.
        unreadable: how many of them could not be read.
        first_error: name and error of the first of this call that could not be read.
        not_written: images of this call whose sidecars were not written.
        why_not: of the first of them, the reason.
        uncertified: images of this call for which the exact search ran out of budget.
        for_person: images of this call that somebody must look at.
        void: images of this call that are so odd that no promise holds of them.
    """

    images: int
    unreadable: int
    first_error: str
    not_written: int
    why_not: str
    uncertified: int = 0
    for_person: int = 0
    void: int = 0

    def summary(self, named: Sequence[str]) -> list[str]:
        """Return what a user should know, in sentences; none where everything is in order."""
        lines = []
        if not self.images:
            where = ", ".join(named) or "the store"
            lines.append(f"no image found in {where}; inside folders, files count by their suffix.")
        if self.unreadable:
            lines.append(
                f"{self.unreadable} of {self.images} files could not be read; each has a line with its error."
            )
        if self.not_written:
            lines.append(
                f"{self.not_written} sidecars were not written; the record says why of each. The first: "
                f"{self.why_not}"
            )
        if self.uncertified:
            lines.append(
                f"the exact search ran out of budget for {self.uncertified} of {self.images} images: their sets may "
                'not be the most probable ("exact": false). Raise it: --set search.expansions=1000.'
            )
        if self.for_person:
            lines.append(f"{self.for_person:,} of {self.images:,} images are for a person to look at.")
        if self.void:
            lines.append(
                f"{self.void:,} of {self.images:,} images are odd (5 % of images like those of calibration are): of "
                "them nothing is promised. Many mean another kind of photographs, and then no promise holds."
            )
        return lines

    def refuse_nothing_read(self) -> None:
        """Refuse to call a job done of which no file could be read.

        Raises:
            InputError: there were images, and none could be read.
        """
        if self.images and self.unreadable == self.images:
            first = f" The first: {self.first_error}" if self.first_error else ""
            raise InputError(f"none of {self.images} files could be read.{first}")


def do_job(
    record: Printed | Recorded,
    source: sources.Source,
    paths: Iterable[Path],
    *,
    total: int | None,
    shown: bool,
    certifies: bool = False,
    report: Callable[[str], None],
) -> Counts:
    """Tag what is left to do, one image after another, each written before the next is asked for.

    `certifies`: predictions come from an exact search, so that `exact` says whether its budget sufficed.
    """
    if record.done:
        report(f"{record.done:,} images are done already; going on.")
    count, first_error, uncertified, for_person, void = record.done, "", 0, 0, 0
    log_every = LOG_EVERY if isinstance(record, Recorded) else None
    with progress_bar("tagging", total, shown=shown, done=record.done, log_every=log_every) as advance:
        for prediction in source(record.remaining(paths)):
            record.write(prediction)
            count += 1
            for_person += prediction.unseen is False
            void += prediction.void
            if prediction.error and not first_error:
                first_error = f"{prediction.image}: {prediction.error}"
            uncertified += certifies and not prediction.exact and not prediction.error
            advance(1)
    chosen = record.settle()
    if record.moved:
        report(
            f"{record.moved:,} photographs lie elsewhere than when they were tagged; their tags came along."
        )
    return Counts(
        count + record.moved,
        record.unreadable,
        first_error,
        record.not_written,
        record.why_not,
        uncertified,
        for_person if chosen is None else chosen,
        void,
    )


def tag_images(
    request: TagRequest,
    asked: Mapping[str, Any],
    *,
    shown: bool,
    report: Callable[[str], None],
    tagger: Tagger | None = None,
    paths: Iterable[Path] | None = None,
) -> Counts:
    """Do what a call asks for; an interrupted job goes on where it was.

    Args:
        asked: how labels are decided, as `asked_tagger` takes it.
        shown: whether progress is shown on a terminal.
        report: called with each sentence that a person may want to read.
        tagger: of the run, if it is loaded already.
        paths: the images that the request names, as far as they are to be tagged now; None: all of them.

    Returns:
        What became of the images; none may have been readable.

    Raises:
        InputError: an image that is named does not exist, vectors that are not the run's, or as `asked_tagger`,
            `with_job_engine`, `open_store` and
            `recording`.
    """
    implied = None if request.implications is None else read_implications(request.implications)
    if implied is not None and "rules" in asked:
        raise InputError(
            "--implications adds labels to decided sets, which may break --rules. Write its lines (dog -> animal) "
            "into the file of rules instead."
        )
    choices = sources.Choices(request.all_scores, implied)
    if request.vectors is not None:
        return _tag_vectors(request, request.vectors, asked, choices, shown=shown, report=report)
    left_out = LeftOut(request.exclude)
    paths = list_images(request.images, left_out=left_out) if paths is None else paths
    estimates = False
    if tagger is None:
        tagger = asked_tagger([request.run], asked, may_estimate="-" not in request.images)
        tagger, estimates = _as_begun(tagger, request, asked)
    if isinstance(tagger.run.encoder, GivenFeatures) and request.images:
        tagger.run.encoder.ready("cpu")  # says what the run reads
    # A listing of a million files takes seconds: only where somebody sees the number, or something depends on it.
    before = _surveyed(request) if shown or request.names_an_engine or estimates else Survey()
    note = tagger.note
    tagger = _with_engine(tagger, request, before, report)
    tagger.note = note
    total, kept = before.count, sources.NONE_KEPT
    with ExitStack() as opened:
        stored = None
        if request.store is not None:
            stored = opened.enter_context(
                sources.open_store(request.store, tagger.run.encoder, write=bool(request.images))
            )
            if not request.images:
                paths, total = map(Path, stored.names()), len(stored)
                before = survey(map(Path, stored.names())) if estimates else before
        if estimates:
            tagger, kept = _nothing_as_seen(
                tagger, before, asked, stored, read=bool(request.images), shown=shown
            )
        for line in (tagger.note, *tagger.promised):
            if line:
                report(line)
        if stored is not None:
            source = sources.through_store(tagger, stored, choices, read=bool(request.images), kept=kept)
        elif request.cluster is not None:
            source = sources.on_cluster(request.run, tagger, choices)
        else:
            source = sources.from_images(tagger, choices, kept)
        record = _record(opened, request, tagger, choices)
        counts = do_job(
            record, source, paths, total=total, shown=shown, certifies=_certifies(tagger), report=report
        )
        for sentence in left_out.sentences():
            report(sentence)
        if request.page is not None:
            from labelbeam.tagging.outputs import write_page

            first = record.first(request.page_pictures)
            write_page(request.page, first, counts.images, report=report)
    return counts


def _tag_vectors(
    request: TagRequest,
    spec: str,
    asked: Mapping[str, Any],
    choices: sources.Choices,
    *,
    shown: bool,
    report: Callable[[str], None],
) -> Counts:
    """Answer for the rows of a file of vectors; the journal, the outputs and going on are those of images."""
    parsed = parse_spec(spec)
    if parsed.path is None:
        raise InputError(f"{spec!r} names no file. Write vectors:FILE#SPLIT.")
    table = open_vectors(parsed.path, parsed.split)
    tagger, estimates = _as_begun(asked_tagger([request.run], asked, may_estimate=True), request, asked)
    if estimates:
        tagger = nothing_as_seen(tagger, table.features[:: -(-len(table.features) // sources.SAMPLED)], asked)
    for line in (tagger.note, *tagger.promised, *table.notes):
        if line:
            report(line)
    encoder = tagger.run.encoder
    wanted = encoder if isinstance(encoder, GivenFeatures) else GivenFeatures(encoder.row_size)
    given = GivenVectors(replace(table, features=wanted.accept(table.features, spec)))
    source = sources.through_store(tagger, given, choices, read=False)
    with ExitStack() as opened:
        record = _record(opened, request, tagger, choices)
        # Ids are no files; they are only ever compared and written as texts.
        names = cast("Iterable[Path]", given.names())
        return do_job(
            record, source, names, total=len(given), shown=shown, certifies=_certifies(tagger), report=report
        )


def _as_begun(tagger: Tagger, request: TagRequest, asked: Mapping[str, Any]) -> tuple[Tagger, bool]:
    """Return the tagger, and whether the share of images that show nothing is still to be found from the images.

    A job that goes on, or is added to, keeps the share that it was begun with, whatever came to its images since.
    """
    if not estimates_nothing(tagger, asked):
        return tagger, False
    where = request.where
    job = None if where is None or request.overwrite else settings_of(where.file)
    if job is None or [job.get("images"), job.get("run")] != [_named(request), fingerprint(request.run)]:
        # Names on standard input come once; a cluster reads the images elsewhere.
        told = "nothing" in asked
        return tagger, told or ("-" not in request.images and request.cluster is None)
    share = job.get("config", {}).get("search", {}).get("nothing")
    if share is None:
        return tagger, False
    return with_nothing(
        tagger, share, f"as when this was begun, a share of {share:.3f} is taken to show none of the labels."
    ), False


def _nothing_as_seen(
    tagger: Tagger,
    before: Survey,
    asked: Mapping[str, Any],
    stored: sources.VectorStore | None,
    *,
    read: bool,
    shown: bool,
) -> tuple[Tagger, sources.Kept]:
    """Return the tagger for the share of images that show nothing which some of them say, and what was read of these.

    Too few images to say it are not read beforehand.
    """
    if (before.count or 0) < LEAST_IMAGES and asked.get("nothing") is None:
        return tagger, sources.NONE_KEPT
    kept: dict[str, np.ndarray] = {}
    there: list[np.ndarray] = []
    missing = []
    for path in before.some:
        # A store without images is asked whatever became of their files.
        mark = image_mark(path) if read else None
        vector = None if stored is None else stored.find(str(path), mark)
        if vector is None:
            missing.append(path)
        elif not isinstance(vector, str):
            there.append(vector)
    with progress_bar("how many show nothing", len(missing), shown=shown) as advance:
        for name, vector in tagger.features(missing):
            if not isinstance(vector, str):
                kept[name] = vector
            advance(1)
    rows = [*there, *kept.values()]
    return nothing_as_seen(tagger, np.stack(rows) if rows else np.empty((0, 0)), asked), kept


def _certifies(tagger: Tagger) -> bool:
    """Tell whether predictions come from an exact search, which a budget may end."""
    return tagger.run.config.search.method == "exact" and HEADS[tagger.run.config.head].searches


def _surveyed(request: TagRequest) -> Survey:
    """Look at all images before the job does; a list on standard input can be read only once."""
    return (
        Survey()
        if "-" in request.images
        else survey(list_images(request.images, left_out=LeftOut(request.exclude)))
    )


def _with_engine(
    tagger: Tagger, request: TagRequest, before: Survey, report: Callable[[str], None]
) -> Tagger:
    if not request.images or request.cluster is not None:
        return tagger
    tagger, note = sources.with_job_engine(
        tagger,
        engine=request.engine,
        precision=request.precision,
        photographs=before.some,
        images=before.count if request.where is not None else None,  # who reads along waits for no graph
        exactly=request.store is not None,
    )
    if note:
        report(note)
    return tagger


def _record(
    opened: ExitStack, request: TagRequest, tagger: Tagger, choices: sources.Choices
) -> Printed | Recorded:
    """Return what predictions go to; a record in a file is closed when `opened` is."""
    where = request.where
    choosing = choosing_for(
        tagger,
        format=None if where is None else where.format,
        update=where is not None and where.update,
    )
    if request.where is None:
        keep = request.page_pictures if request.page else 0
        return Printed(json=request.prints_json, keep=keep)
    encoder = tagger.run.encoder
    job = {
        "images": _named(request),
        "run": fingerprint(request.run),
        "config": to_plain(tagger.run.config),
        # As settled, not as asked: what `auto` finds must not change in the middle of a file.
        "encoder": [encoder.engine, encoder.precision],
        **choices.to_dict(),
    }
    if tagger.run.rules is not None:
        job["rules"] = tagger.run.rules.text
    keywords = None
    if request.where.format in KINDS:
        job["keywords"] = [request.keyword_lists, request.tag_root, request.sidecar_names]
        keywords = KeywordChoices(
            request.keyword_lists,
            request.tag_root,
            request.sidecar_names,
            run=f"{request.run.resolve().name} {job['run']}",
            rejected=rejections(request.project),
        )
    return opened.enter_context(
        recording(
            request.where,
            job=job,
            labels=tagger.labels,
            named=request.images,
            choices=choices,
            overwrite=request.overwrite,
            keywords=keywords,
            more_columns=asked_columns(
                tagger.run.config.decision,
                ruled=tagger.run.rules is not None,
                shifted=tagger.run.config.search.nothing is not None,
            ),
            choosing=choosing,
        )
    )


def _named(request: TagRequest) -> list[str] | str:
    """Return what a job's record calls its images."""
    return list(request.images) or str(request.store)


def rejections(project: Path | None) -> Callable[[Path], Collection[str]]:
    """Return what says of a photograph which labels a person rejected in a project.

    Photographs that stay where they are are recognised by their place, those that were uploaded by their bytes.
    """
    if project is None:
        return lambda image: ()
    with Project(project) as opened:
        decisions = opened.decisions()
        photographs = [one for one in opened.photographs() if one.id in decisions]
    by_place: dict[Path, list[str]] = {}
    by_hash: dict[str, list[str]] = {}
    for one in photographs:
        labels = [name for name, value in decisions[one.id].items() if value == ABSENT]
        if one.added:
            by_hash[one.hash] = labels
        else:
            by_place[one.path] = labels

    def rejected(image: Path) -> Collection[str]:
        found = by_place.get(image.resolve())
        if found is None and by_hash:
            found = by_hash.get(content_hash(image_bytes(image)))
        return found or ()

    return rejected


def watch(
    request: TagRequest,
    asked: Mapping[str, Any],
    *,
    every: float = 10.0,
    settled: float = 5.0,
    rounds: int | None = None,
    report: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Tag what is new in folders, again and again; what is done already is not done again.

    Args:
        request: a run, folders, and where answers go: something that can be added to.
        asked: how labels are decided, as `tag_images` takes it.
        every: seconds between looks at the folders.
        settled: seconds since a file was changed after which it counts as complete.
        rounds: looks; None: until interrupted.
        report: called with each sentence that a person may want to read.
        wait: sleeps.

    Raises:
        InputError: nothing that can be added to, or as `tag_images`.
    """
    if (
        request.where is None
        or request.cluster is not None
        or request.vectors is not None
        or "-" in request.images
    ):
        raise InputError(
            "watch looks at folders and adds to --out. Give both, without --cluster and lists on stdin."
        )
    request = replace(request, update=True)
    tagger, _ = _as_begun(asked_tagger([request.run], asked), request, asked)
    seen: set[bytes] = set()
    look = 0
    while rounds is None or look < rounds:
        if look:
            wait(every)
        look += 1
        try:
            ready = {_digest(path) for path in _ready(request, settled)}
        except InputError as error:  # a disk that is not there now
            report(f"{error} Looking again.")
            continue
        if ready <= seen:
            continue
        counts = tag_images(
            request, asked, shown=False, report=report, tagger=tagger, paths=_ready(request, settled)
        )
        report(f"{counts.images:,} photographs are tagged.")
        seen |= ready


def _ready(request: TagRequest, settled: float) -> Iterator[Path]:
    """Yield the images whose files are complete."""
    now = time.time()
    for path in list_images(request.images, left_out=LeftOut(request.exclude)):
        try:
            changed = path.stat().st_mtime
        except OSError:
            continue
        if now - changed >= settled:
            yield path


def _digest(path: Path) -> bytes:
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0
    return blake2b(bytes(path) + changed.to_bytes(16, "big", signed=True), digest_size=8).digest()
