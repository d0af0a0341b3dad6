"""Keywords of photographs: read from XMP sidecars, XMP and IPTC inside the file; written as XMP sidecars."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.image_bytes import within_archive
from labelbeam.data.listing import list_images
from labelbeam.errors import InputError
from labelbeam.files import new_folder, written_whole
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.photo_metadata import DC, RDF, iptc_keywords, read_metadata, xmp_keywords
from labelbeam.formats.placing import (
    check_way,
    place_images,
    refuse_unlisted,
    refuse_unwritable,
    unknown_note,
    unused_note,
)
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

# Keywords that photographs carry already: XMP sidecars, XMP inside the file, IPTC.
#
# A sidecar that lists keywords decides alone, because programs that keep sidecars edit them and leave the
# photograph as it was; otherwise what XMP and IPTC inside the file say is put together. Only headers are
# read. Where metadata lie in a file is known to `formats.photo_metadata`.

_PATTERN = "*?["


def read_keywords(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read the keywords of photographs.

    From XMP `dc:subject`, and where that is absent the last part of each `lr:hierarchicalSubject`; from IPTC
    keywords (2:25).

    Args:
        path: folder of photographs, subfolders included, or a pattern such as `photos/**/*.jpg`.
        split: the format has none; empty or `all`.
        options: `keep_unlabelled` (photographs nobody gave keywords are usually better left out).

    Returns:
        The data set; image keys are relative to the folder (of a pattern: to the part before the first
        wildcard), sorted; labels are sorted.

    Raises:
        InputError: no image; no keyword at all; a sidecar that is not XMP; whatever `settle` finds. A photograph
            whose metadata are damaged is noted and has no keyword.

    Source:
        IPTC IIM 4.2, data sets 1:90 and 2:25; XMP specification part 3 (where packets lie); Lightroom and
        darktable's sidecars.
    """
    spec = f"keywords:{path}" + (f"#{split}" if split else "")
    if split not in {"", "all"}:
        raise InputError(f"{spec}: photographs have no splits. Leave #{split} away; give a folder per split.")
    root = _root(path)
    files = list(list_images([path]))
    if not files:
        raise InputError(f"{spec}: no image in {path} (looked from {Path.cwd()}). Check the folder.")
    counts: Counter[str] = Counter()
    damaged: list[str] = []
    said = []
    for file in files:
        key = file.relative_to(root).as_posix()
        said.append((key, dict.fromkeys(_keywords(file, key, spec, counts, damaged), PRESENT)))
    return labelled_dataset(
        said,
        spec=spec,
        root=root,
        names=None,
        unsaid=ABSENT,
        layout=f"keywords of {_origins(counts)}",
        options=options,
        notes=_notes(counts, damaged),
    )


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


def _keywords(file: Path, key: str, spec: str, counts: Counter[str], damaged: list[str]) -> list[str]:
    """Return a photograph's keywords; counts where they were found, and lists what could not be read."""
    for sidecar in sidecars_of(file):
        found = xmp_keywords(sidecar.read_bytes(), f"{spec}: {sidecar}")
        if found is not None:
            counts["sidecars"] += 1
            return found
    try:
        metadata = read_metadata(file)
        embedded = [xmp_keywords(packet, key) for packet in metadata.xmp]
    except InputError as error:
        damaged.append(f"{key} ({error})")
        return []
    by_iptc, charset = iptc_keywords(metadata.iptc)
    by_xmp = [keyword for found in embedded for keyword in found or ()]
    counts["XMP"] += bool(by_xmp)
    counts["IPTC"] += bool(by_iptc)
    counts[charset] += 1
    counts["differ"] += bool(by_xmp and by_iptc and set(by_xmp) != set(by_iptc))
    return list(dict.fromkeys([*by_xmp, *by_iptc]))


def _origins(counts: Counter[str]) -> str:
    """Return where keywords were found, in words."""
    found = [f"{name} ({counts[name]:,} images)" for name in ("sidecars", "XMP", "IPTC") if counts[name]]
    return ", ".join(found) or "no photograph"


def _notes(counts: Counter[str], damaged: Sequence[str]) -> list[str]:
    notes = []
    if guessed := counts["latin-1"]:
        notes.append(
            f"IPTC keywords of {guessed:,} images say no encoding and are not UTF-8: read as Latin-1. Check letters "
            "with accents."
        )
    if counts["differ"]:
        notes.append(
            f"XMP and IPTC of {counts['differ']:,} images differ; an image has the keywords of both."
        )
    if damaged:
        shown = "; ".join(damaged[:3])
        notes.append(
            f"the metadata of {len(damaged):,} images cannot be read, so they have no keyword: {shown}."
        )
    return notes


# XMP sidecars: keywords beside photographs, `a.jpg.xmp`, without touching the photographs.
#
# Of a sidecar that is there already everything stays, byte by byte, but its list of keywords: labels that
# are present are in it, labels that are absent are not, and what the data set does not know stays as it was
# (other keywords, unknown labels). Counterpart of `formats.keywords`. Knows nothing of pixels.

SUFFIX = ".xmp"


def sidecars_of(image: Path) -> Iterator[Path]:
    """Yield the sidecars of an image that are there: `a.jpg.xmp` (darktable), then `a.xmp` (Lightroom)."""
    for sidecar in (image.with_name(image.name + SUFFIX), image.with_suffix(SUFFIX)):
        if sidecar.is_file():
            yield sidecar


def write_keywords(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a sidecar for each image.

    Args:
        dataset: what to write.
        path: with `keep`, the folder that the images are in; otherwise the folder to appear.
        split: must be empty: the format has none.
        images: `keep` (sidecars go beside the images where they are), `link` or `copy`.

    Returns:
        What the format cannot hold.

    Raises:
        InputError: a split; images outside the folder or inside archives; a label that XML cannot hold; a
            sidecar that is there and cannot be read. Nothing is written then.
    """
    spec = f"keywords:{path}" + (f"#{split}" if split else "")
    check_way(images, keep=True, spec=spec)
    if split:
        raise InputError(
            f"{spec}: photographs have no splits. Leave #{split} away; write a folder per split."
        )
    refuse_unwritable(dataset.vocabulary, spec)
    refuse_unlisted(dataset.images, spec)
    if images != "keep":
        with new_folder(path) as folder:
            for i, place in enumerate(place_images(dataset, folder, images=images)):
                _write_sidecar(
                    folder / (place + SUFFIX), new_sidecar(_keywords_writer_keywords(dataset, i, []))
                )
        return (*unknown_note(dataset.targets), *unused_note(dataset))
    outside = [image for i, image in enumerate(dataset.images) if not _lies_in(dataset.path(i), path)]
    if outside:
        raise InputError(
            f"{spec}: {len(outside)} images are not files below {path}, such as {outside[0]}. With --images keep, "
            "sidecars go beside the images: give the folder of the images, or add --images copy."
        )
    # All of them first, so that one that cannot be merged leaves no half of the work behind.
    owner: dict[Path, str] = {}
    for i, image in enumerate(dataset.images):
        sidecar = _merged(dataset, i, spec)[0]
        if owner.setdefault(sidecar, image) != image:
            raise InputError(
                f"{spec}: {owner[sidecar]!r} and {image!r} would share the sidecar {sidecar}. Move it away: each "
                "then gets its own."
            )
    new = np.ones(len(dataset), dtype=bool)
    for i in range(len(dataset)):
        sidecar, content, was_there = _merged(dataset, i, spec)
        new[i] = not was_there
        _write_sidecar(sidecar, content)
    merged = int((~new).sum())
    kept = f"{merged:,} sidecars were there: of theirs only the list of keywords was changed."
    return (*unknown_note(dataset.targets[new]), *unused_note(dataset), *((kept,) if merged else ()))


def _lies_in(image: Path, folder: Path) -> bool:
    return within_archive(image) is None and image.resolve().is_relative_to(folder.resolve())


def _write_sidecar(sidecar: Path, content: bytes) -> None:
    with written_whole(sidecar) as part:
        part.write_bytes(content)


def _merged(dataset: Dataset, i: int, spec: str) -> tuple[Path, bytes, bool]:
    """Return where an image's sidecar is, what it is to hold, and whether it is there already."""
    image = dataset.path(i)
    sidecar = next(sidecars_of(image), None)
    if sidecar is None:
        return (
            image.with_name(image.name + SUFFIX),
            new_sidecar(_keywords_writer_keywords(dataset, i, [])),
            False,
        )
    raw, where = sidecar.read_bytes(), f"{spec}: {sidecar}"
    keywords = _keywords_writer_keywords(dataset, i, xmp_keywords(raw, where) or [])
    return sidecar, with_keywords(raw, keywords, where), True


def _keywords_writer_keywords(dataset: Dataset, i: int, before: list[str]) -> list[str]:
    """Return an image's keywords: what was there and is not known to be absent, then the labels it has."""
    said: Mapping[str, int] = dict(zip(dataset.vocabulary.names, dataset.targets[i].tolist(), strict=True))
    stays = [name for name in before if said.get(clean(name), UNKNOWN) != ABSENT]
    have = {clean(name) for name in stays}
    return [*stays, *(name for name, value in said.items() if value == PRESENT and name not in have)]


def new_sidecar(keywords: list[str]) -> bytes:
    """Return a sidecar that holds keywords and nothing else.

    Example:
        >>> print(new_sidecar(["dog"]).decode().splitlines()[3])
          <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
    """
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        f' <rdf:RDF xmlns:rdf="{RDF}">\n  <rdf:Description rdf:about="" xmlns:dc="{DC}">\n   '
        + _subject(keywords, "dc:subject")
        + "\n  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n"
    ).encode()


def with_keywords(sidecar: bytes, keywords: list[str], where: str) -> bytes:
    """Return a sidecar with another list of keywords, and everything else as it was.

    Args:
        sidecar: XML in UTF-8.
        keywords: the new list.
        where: what to call the sidecar in messages.

    Raises:
        InputError: not UTF-8; several lists of keywords; no RDF to put a list into.
    """
    places = _Places(sidecar, where)
    if len(places.subjects) > 1:
        raise InputError(f"{where}: {len(places.subjects)} lists dc:subject. Leave one of them.")
    if places.subjects:
        start, stop, name = places.subjects[0]
        changed = sidecar[:start] + _subject(keywords, name, rdf=True).encode() + sidecar[stop:]
    elif places.end is not None:
        added = (
            f'<rdf:Description xmlns:rdf="{RDF}" rdf:about={quoteattr(places.about)} xmlns:dc="{DC}">'
            f"{_subject(keywords, 'dc:subject')}</rdf:Description>\n "
        )
        changed = sidecar[: places.end] + added.encode() + sidecar[places.end :]
    else:
        raise InputError(f"{where}: no rdf:RDF element to put keywords into. Move the sidecar away.")
    if xmp_keywords(changed, where) != keywords:  # an empty element, or other XML that no program here writes
        raise InputError(
            f"{where}: keywords cannot be put into XML written like this. Move the sidecar away."
        )
    return changed


def _subject(keywords: list[str], name: str, *, rdf: bool = False) -> str:
    items = "".join(f"<rdf:li>{escape(keyword)}</rdf:li>" for keyword in keywords)
    declared = f' xmlns:rdf="{RDF}"' if rdf else ""
    prefix = name.rpartition(":")[0]
    if rdf:  # the name's own prefix is in scope outside the element as well, but nobody has to look
        declared += f' xmlns{":" + prefix if prefix else ""}="{DC}"'
    return f"<{name}{declared}><rdf:Bag>{items}</rdf:Bag></{name}>"


class _Places:
    """Where in a sidecar's bytes its list of keywords is, and where one could be added.

    Attributes:
        subjects: start, stop and name as written of each `dc:subject`.
        end: start of the end tag of `rdf:RDF`; None without one.
        about: what the first description is about.
    """

    def __init__(self, raw: bytes, where: str) -> None:
        self.subjects: list[tuple[int, int, str]] = []
        self.end: int | None = None
        self.about = ""
        self._raw = raw
        self._parser = expat.ParserCreate(namespace_separator="}")
        self._open: list[int] = []
        self._descriptions = 0
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._stop
        try:
            raw.decode("utf-8")
            self._parser.Parse(raw, True)
        except UnicodeDecodeError:
            raise InputError(f"{where}: not UTF-8. Save it as UTF-8.") from None
        except expat.ExpatError as error:
            raise InputError(f"{where}: not readable XML ({error}). Repair it or move it away.") from None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == f"{DC}}}subject":
            self._open.append(self._parser.CurrentByteIndex)
        elif name == f"{RDF}}}Description":
            self._descriptions += 1
            if self._descriptions == 1:
                self.about = attributes.get(f"{RDF}}}about", "")

    def _stop(self, name: str) -> None:
        at = self._parser.CurrentByteIndex
        if name == f"{DC}}}subject":
            start = self._open.pop()
            written = self._raw[start + 1 : start + 200].split(b">")[0].split(b"/")[0].split()[0].decode()
            # Of an element without content, expat says where it ends, of others where the end tag starts.
            stop = self._raw.index(b">", at) + 1 if self._is_end_tag(at, b"subject") else at
            self.subjects.append((start, stop, written))
        elif name == f"{RDF}}}RDF" and self._is_end_tag(at, b"RDF"):
            self.end = at

    def _is_end_tag(self, at: int, name: bytes) -> bool:
        tag = self._raw[at : at + 200].split(b">")[0]
        return tag.startswith(b"</") and tag[2:].strip().rpartition(b":")[2] == name
