"""Keywords that photographs carry already: XMP sidecars, XMP inside the file, IPTC.

A sidecar that lists keywords decides alone, because programs that keep sidecars edit them and leave the photograph
as it was; otherwise what XMP and IPTC inside the file say is put together. Only headers are read. Where
metadata lie in a file is known to `formats.photo_metadata.embedded`.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from labelbeam.data.dataset import Dataset
from labelbeam.data.listing import list_images
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.keywords_writer import sidecars_of
from labelbeam.formats.parts.labelled_images import labelled_dataset
from labelbeam.formats.photo_metadata.embedded import read_metadata
from labelbeam.formats.photo_metadata.iptc import iptc_keywords
from labelbeam.formats.photo_metadata.xmp import xmp_keywords
from labelbeam.labels.targets import ABSENT, PRESENT

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
