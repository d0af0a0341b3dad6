"""A data set to "CVAT for images 1.1": one XML file of images with tags, to be uploaded as annotations.

Counterpart of `formats.cvat`. Of pixels it knows width and height, which CVAT's own files name.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.formats.parts.list_file import new_list_file
from labelbeam.formats.parts.lost_notes import unknown_note
from labelbeam.formats.parts.whole_boxes import NO_SIZE, size_of
from labelbeam.formats.parts.writable import refuse_unwritable, refuse_unwritable_images
from labelbeam.labels.targets import PRESENT

PICTURES = "images"
"""The folder beside the file that images are placed in."""


def write_cvat(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write one XML file; images are placed in the folder `images` beside it, or stay where they are.

    Args:
        dataset: what to write.
        path: the file to appear; its folder is made. Nothing may be at that place.
        split: becomes the images' attribute `subset`; empty for none.
        images: `keep` (the file names them relative to its folder, or absolutely), `link` or `copy`.

    Returns:
        What the format cannot hold.

    Raises:
        InputError: a file is there already; a name that XML cannot hold; an image to be placed that is
            missing; two images that want the same place.
    """
    spec = f"cvat:{path}" + (f"#{split}" if split else "")
    refuse_unwritable([*dataset.vocabulary, *([split] if split else [])], spec)
    refuse_unwritable_images(dataset.images, spec)
    subset = f" subset={quoteattr(split)}" if split else ""
    unmeasured = 0
    with (
        new_list_file(dataset, path, images=images, spec=spec, pictures=PICTURES) as (part, names),
        part.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(line + "\n" for line in _head(dataset))
        for i, name in enumerate(names):
            # CVAT names images as they were uploaded; `images/` is where its exports put them.
            inside = name if images == "keep" else name.removeprefix(f"{PICTURES}/")
            width, height = size_of(dataset.path(i))
            size = "" if (width, height) == NO_SIZE else f' width="{width}" height="{height}"'
            unmeasured += not size
            file.write(f'  <image id="{i}" name={quoteattr(inside)}{subset}{size}>\n')
            for j in np.flatnonzero(dataset.targets[i] == PRESENT):
                file.write(
                    f'    <tag label={quoteattr(dataset.vocabulary.names[j])} source="manual"></tag>\n'
                )
            file.write("  </image>\n")
        file.write("</annotations>\n")
    notes = unknown_note(dataset.targets)
    if unmeasured:
        notes += (f"{unmeasured} image files could not be opened, so their width and height were left out.",)
    return notes


def _head(dataset: Dataset) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield "  <version>1.1</version>"
    yield "  <meta><task><labels>"
    for name in dataset.vocabulary:
        yield f"    <label><name>{escape(name)}</name><type>tag</type><attributes></attributes></label>"
    yield "  </labels></task></meta>"
