"""Keywords of photographs: read from XMP sidecars, XMP and IPTC inside the file; written as XMP sidecars."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.image_bytes import within_archive
from labelbeam.data.listing import images_in
from labelbeam.data.raw_preview import SUFFIXES as RAW
from labelbeam.errors import InputError
from labelbeam.files import new_folder, written_whole
from labelbeam.formats import placing
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.photo_metadata import keyword_lists
from labelbeam.formats.photo_metadata.photographs import (
    Found,
    embedded_lists,
    photo_keywords,
    sidecar_for,
    sidecar_lists,
    write_sidecar,
)
from labelbeam.formats.photo_metadata.written import (
    RECORD,
    ListChanges,
    OwnTags,
    WrittenTags,
    place_of,
    read_record,
    record_folder,
    without,
)
from labelbeam.formats.photo_metadata.xmp import new_packet, with_lists
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN
from labelbeam.parsing import read_regular

_PATTERN = "*?["


def read_keywords(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read the keywords of photographs.

    From XMP `dc:subject`, `lr:hierarchicalSubject` and `digiKam:TagsList`, and from IPTC keywords (2:25).

    `path` is a folder of photographs, subfolders included, or a pattern such as `photos/**/*.jpg`. Keys are relative to
    the folder (of a pattern: to the part before the first wildcard), sorted; labels are sorted. A photograph or sidecar
    that is damaged is noted.

    Raises:
        InputError: no image; no keyword at all; whatever `settle` finds. A photograph or sidecar that is damaged is
            noted.

    Source:
        IPTC IIM 4.2, data sets 1:90 and 2:25; XMP specification part 3 (where packets lie); Lightroom and
        darktable's sidecars.
    """
    spec = f"keywords:{path}" + (f"#{split}" if split else "")
    if split not in {"", "all"}:
        raise InputError(f"{spec}: photographs have no splits. Leave #{split} away; give a folder per split.")
    root = _root(path)
    # A raw photograph and the camera's JPEG are one photograph.
    files, left_out = images_in(path)
    if not files:
        raise InputError(f"{spec}: no image in {path} (looked from {Path.cwd()}). Check the folder.")
    counts: Counter[str] = Counter()
    damaged: list[str] = []
    labelled, unlisted, read = [], [], set[Path | None]()
    records = _Records()
    try:
        b"a".decode(options.encoding or "utf-8")
    except LookupError:
        raise InputError(
            f"there is no encoding {options.encoding!r}. Use --encoding cp932, mac-roman, …"
        ) from None
    for file in files:
        key = file.relative_to(root).as_posix()
        found = _found(file, key, counts, damaged, options.encoding)
        labels = _labels(found.lists, records.of(found, file), options, counts)
        labelled.append((key, labels))
        read |= {found.origin} - {None}
        # Where runs alone gave labels, nothing says what is absent.
        open_ = options.machine_tags == "unknown" and labels and PRESENT not in labels.values()
        unlisted.append(UNKNOWN if open_ else ABSENT)
    return labelled_dataset(
        labelled,
        spec=spec,
        root=root,
        names=None,
        unsaid=unlisted,
        layout=f"keywords of {_origins(counts)}",
        options=options,
        notes=[
            *left_out,
            *_notes(counts, damaged, options),
            *_unread_sidecars({file.parent for file in files} if path.is_dir() else (), read),
        ],
    )


def _unread_sidecars(folders: Iterable[Path], read: set[Path | None]) -> Iterator[str]:
    """Yield a note about sidecars with keywords that no photograph has, or beside which another decides."""
    unread = []
    for folder in sorted(folders):
        for file in sorted(set(folder.glob("*.[xX][mM][pP]")) - read):
            with suppress(InputError):  # of a photograph, it is among the damaged ones
                if sidecar_lists(file):
                    unread.append(file.name)
    if unread:
        yield (
            f"{len(unread):,} sidecars were not read, as they belong to no photograph here or another sidecar "
            f"of theirs decides: {', '.join(unread[:5])}."
        )


def labels_by_people(files: Iterable[Path]) -> Iterator[dict[str, int]]:
    """Yield for each photograph what people decided of it: keywords they gave, and tags of runs that they took away.

    Args:
        files: photographs; their sidecars are read too, as `read_keywords` does.

    Yields:
        Label names with PRESENT or ABSENT; tags that runs wrote and nobody touched are left out. Empty where nothing
        was decided, or it cannot be read.
    """
    counts: Counter[str] = Counter()
    records, options = _Records(), replace(DEFAULTS, machine_tags="unknown")
    for file in files:
        found = _found(file, file.name, counts, [])
        labels = _labels(found.lists, records.of(found, file), options, counts)
        yield {name: value for name, value in labels.items() if value != UNKNOWN}


def _root(path: Path) -> Path:
    """Return the folder that keys are relative to: the part of a pattern before its first wildcard."""
    if path.is_dir():
        return path
    plain = []
    for part in path.parts[:-1]:
        if any(char in part for char in _PATTERN):
            break
        plain.append(part)
    return Path(*plain)


def _found(
    file: Path, key: str, counts: Counter[str], damaged: list[str], encoding: str | None = None
) -> Found:
    """Return a photograph's keywords; counts where they were found, and lists what could not be read."""
    try:
        found = photo_keywords(file, encoding)
    except InputError as error:
        damaged.append(f"{key} ({error})")
        return Found({})
    damaged += [f"{key} ({reason})" for reason in found.damaged]
    counts["western"] += found.western
    counts[f"unread {found.unread}"] += bool(found.unread)
    people = keyword_lists.without_programs(found.lists)
    if people != found.lists:
        counts["programs"] += 1
        found = replace(found, lists=people)
    if found.origin is not None:
        counts["sidecars"] += 1
        return found
    by_xmp = keyword_lists.keywords_in(
        {name: entries for name, entries in found.lists.items() if name != keyword_lists.IPTC}
    )
    by_iptc = found.lists.get(keyword_lists.IPTC, [])
    counts["XMP"] += bool(by_xmp)
    counts["IPTC"] += bool(by_iptc)
    counts[found.charset] += 1
    counts["differ"] += bool(by_xmp and by_iptc and set(by_xmp) != set(by_iptc))
    return found


class _Records:
    """What runs wrote into files, from the records of their folders and of those above."""

    def __init__(self) -> None:
        self._of: dict[Path, dict[str, OwnTags]] = {}

    def of(self, found: Found, image: Path) -> OwnTags | None:
        """Return what runs wrote where a photograph's keywords are, as far as it is still theirs."""
        sidecar = found.origin or sidecar_for(image)
        own = self._at(sidecar)
        if own is not None:
            return own.seen(found.lists if sidecar.exists() else None)
        inside = self._at(image)
        return None if inside is None else inside.seen(found.lists)

    def _at(self, file: Path) -> OwnTags | None:
        place = place_of(file)
        for folder in place.parents:
            if folder not in self._of:
                self._of[folder] = dict(read_record(folder)) if (folder / RECORD).is_file() else {}
            if found := self._of[folder].get(place.relative_to(folder).as_posix()):
                return found
        return None


def _labels(
    lists: keyword_lists.Lists, own: OwnTags | None, options: ReadOptions, counts: Counter[str]
) -> dict[str, int]:
    """Return a photograph's labels as given by people, and by runs."""
    level, top = options.keyword_level, keyword_lists.levels_of("lr:hierarchicalSubject", options.tag_root)
    people = _people(lists, own, top)
    everything = [*_plain(keyword_lists.keywords_in(lists, level, options.tag_root), counts)]
    by_people = set(_plain(keyword_lists.keywords_in(people, level), counts))
    machine = UNKNOWN if options.machine_tags == "unknown" else PRESENT
    labels = {name: PRESENT if name in by_people else machine for name in everything}
    counts["machine"] += any(name not in by_people for name in everything)
    for value, names in ((ABSENT, own.rejected), (UNKNOWN, own.withdrawn)) if own is not None else ():
        for name in names:
            (label, *_) = keyword_lists.keywords_in(
                {"lr:hierarchicalSubject": ["|".join(keyword_lists.label_levels(name))]}, level
            )
            if labels.setdefault(label, value) == value == ABSENT:
                counts["taken away"] += 1
    return labels


def _people(lists: keyword_lists.Lists, own: OwnTags | None, top: tuple[str, ...]) -> keyword_lists.Lists:
    """Return the entries that no run wrote."""
    people = lists if own is None else without(lists, own)
    if not top:
        return people
    below = {
        levels[-1]
        for name, entries in people.items()
        if name not in keyword_lists.FLAT
        for levels in (keyword_lists.levels_of(name, entry) for entry in entries)
        if levels[: len(top)] == top
    }
    return {
        name: [
            entry
            for entry in entries
            if (entry not in below and entry not in top)
            and (name in keyword_lists.FLAT or keyword_lists.levels_of(name, entry)[: len(top)] != top)
        ]
        for name, entries in people.items()
    }


def _plain(names: Sequence[str], counts: Counter[str]) -> Iterator[str]:
    """Yield names without line breaks and the like, which no label can hold."""
    for name in names:
        plain = "".join(" " if unicodedata.category(char) == "Cc" else char for char in name)
        counts["control"] += plain != name
        yield " ".join(plain.split()) if plain != name else name


def _origins(counts: Counter[str]) -> str:
    """Return where keywords were found, in words."""
    found = [f"{name} ({counts[name]:,} images)" for name in ("sidecars", "XMP", "IPTC") if counts[name]]
    return ", ".join(found) or "no photograph"


def _notes(counts: Counter[str], damaged: Sequence[str], options: ReadOptions) -> list[str]:
    notes = []
    if guessed := counts["windows-1252"]:
        notes.append(
            f"IPTC keywords of {guessed:,} images name no encoding and are not UTF-8: read as Windows-1252. Check "
            "letters with accents."
        )
    if counts["western"]:
        notes.append(
            f"{counts['western']:,} sidecars are not UTF-8, though they say nothing else, and were read as "
            "Windows-1252, by their accented letters."
        )
    for name, count in counts.items():
        if name.startswith("unread ") and count:
            notes.append(
                f"{count:,} images have keywords in {name.removeprefix('unread ')} alone, which is not read: let the "
                "program write dc:subject too."
            )
    if counts["differ"]:
        notes.append(
            f"XMP and IPTC of {counts['differ']:,} images differ; an image has the keywords of both."
        )
    if counts["programs"]:
        notes.append(
            f"what programs keep for themselves in {counts['programs']:,} images was left out (darktable|…)."
        )
    if counts["control"]:
        notes.append(f"{counts['control']:,} keywords hold line breaks or the like, read as blanks.")
    if counts["machine"]:
        how = (
            "those labels are unknown there."
            if options.machine_tags == "unknown"
            else "read as present; --machine-tags unknown leaves them open."
        )
        notes.append(f"{counts['machine']:,} images have tags that a run wrote and no person touched: {how}")
    if counts["taken away"]:
        notes.append(f"{counts['taken away']:,} tags of runs were taken away by a person: absent there.")
    if damaged:
        shown = "; ".join(damaged[:3])
        notes.append(f"metadata of {len(damaged):,} images cannot be read, so that is left out: {shown}.")
    return notes


def write_keywords(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a sidecar for each image.

    What a person decided (`project:`) is kept in the record of what runs wrote, so that no run writes again what was
    rejected, and none takes away what was accepted.

    With `keep`, sidecars go beside the images where they are, below `path`; else `path` is the folder to appear.

    Of a sidecar that is there already everything stays, byte by byte, but its lists of keywords: present labels
    are in them, absent ones are not, and other keywords and unknown labels stay.

    Raises:
        InputError: a split; images outside the folder or inside archives; a label that XML cannot hold; a
            sidecar that is there and cannot be read. Nothing is written then.
    """
    spec = f"keywords:{path}" + (f"#{split}" if split else "")
    placing.check_way(images, keep=True, spec=spec)
    if split:
        raise InputError(
            f"{spec}: photographs have no splits. Leave #{split} away; write a folder per split."
        )
    placing.refuse_unwritable(dataset.vocabulary, spec)
    if blank := [name for name in dataset.vocabulary if not name.strip("| ")]:
        raise InputError(
            f"{spec}: the label {blank[0]!r} is nothing but what separates the levels of a keyword. Rename it first."
        )
    placing.refuse_unlisted(dataset.images, spec, more=RAW)
    if images != "keep":
        with new_folder(path) as folder:
            for i, place in enumerate(placing.place_images(dataset, folder, images=images)):
                lists = keyword_lists.lists_of(_names(dataset, i, PRESENT))
                with written_whole(folder / (place + ".xmp")) as part:
                    part.write_bytes(new_packet(lists))
        return (*placing.unknown_note(dataset.targets), *placing.unused_note(dataset))
    outside = [image for i, image in enumerate(dataset.images) if not _lies_in(dataset.path(i), path)]
    if outside:
        raise InputError(
            f"{spec}: {len(outside)} images are not files below {path}, such as {outside[0]}. With --images keep, "
            "sidecars go beside the images: give the folder of the images, or add --images copy."
        )
    return _merge(dataset, path, spec)


def _merge(dataset: Dataset, path: Path, spec: str) -> tuple[str, ...]:
    """Write sidecars beside photographs, into those that are there."""
    sidecars = [sidecar_for(dataset.path(i)) for i in range(len(dataset))]
    owner: dict[Path, str] = {}
    for sidecar, image in zip(sidecars, dataset.images, strict=True):
        if owner.setdefault(sidecar, image) != image:
            raise InputError(
                f"{spec}: {owner[sidecar]!r} and {image!r} would share the sidecar {sidecar}. Move it away: each "
                "then gets its own."
            )
    decided = dataset.spec.startswith("project:")  # by a person
    home = record_folder(path)
    written = WrittenTags(home) if decided or (home / RECORD).is_file() else None
    try:
        # All of them first, so that one that cannot be merged leaves no half of the work behind.
        for i, sidecar in enumerate(sidecars):
            lists, changes, _ = _merged(dataset, i, sidecar, written, spec)
            if lists is not None:
                with_lists(read_regular(sidecar), changes, f"{spec}: {sidecar}")
        new = np.ones(len(dataset), dtype=bool)
        for i, sidecar in enumerate(sidecars):
            lists, changes, own = _merged(dataset, i, sidecar, written, spec)
            new[i] = lists is None
            if changes:
                write_sidecar(sidecar, changes)
            if written is not None and (decided or own.wrote or own.unwanted):
                before = written.owned(sidecar)
                written.keep(
                    sidecar, own if decided else replace(own, rejected=before.rejected if before else ())
                )
    finally:
        if written is not None:
            written.finish()
    merged = int((~new).sum())
    kept = f"{merged:,} sidecars were there: of theirs only the lists of keywords were changed."
    return (
        *placing.unknown_note(dataset.targets[new]),
        *placing.unused_note(dataset),
        *((kept,) if merged else ()),
    )


def _lies_in(image: Path, folder: Path) -> bool:
    return within_archive(image) is None and place_of(image).is_relative_to(folder.resolve())


def _merged(
    dataset: Dataset, i: int, sidecar: Path, written: WrittenTags | None, spec: str
) -> tuple[keyword_lists.Lists | None, ListChanges, OwnTags]:
    """Return what an image's sidecar holds, what is to change in it, and what is a run's then."""
    image = dataset.path(i)
    try:
        lists = sidecar_lists(sidecar)
        inside = {} if lists else _inside(image)
    except OSError as error:
        raise InputError(f"{spec}: {sidecar} cannot be read ({error.strerror}).") from None
    except InputError as error:
        raise InputError(f"{spec}: {error}") from None
    own = written.owned(sidecar) if written is not None else None
    own = (own or OwnTags(written.name(image) if written is not None else "")).seen(lists)
    present = _names(dataset, i, PRESENT)
    changes, own = own.decided(
        lists or {}, present, _names(dataset, i, ABSENT), names=keyword_lists.FIELDS, elsewhere=inside
    )
    return lists, changes, own


def _inside(image: Path) -> keyword_lists.Lists:
    try:
        return embedded_lists(image)[0]
    except InputError:  # damaged metadata are no keywords
        return {}


def _names(dataset: Dataset, i: int, value: int) -> list[str]:
    return [dataset.vocabulary.names[j] for j in np.flatnonzero(dataset.targets[i] == value)]
