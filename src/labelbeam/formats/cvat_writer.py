"""A data set to "CVAT for images 1.1": one XML file of images with tags, to be uploaded as annotations.

Counterpart of `formats.cvat`. Of pixels it knows width and height, which CVAT's own files name.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from PIL import Image

from labelbeam.data.dataset import Dataset
from labelbeam.data.image_bytes import image_bytes
from labelbeam.data.new_folder import new_folder
from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError
from labelbeam.formats.labelled_images import (
    key_inside,
    refuse_unwritable,
    refuse_unwritable_images,
    unknown_note,
)
from labelbeam.formats.placing import check_way, place_image, reference
from labelbeam.labels.targets import PRESENT, UNKNOWN


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
            missing, or whose key leads out of the folder.
    """
    spec = f"cvat:{path}" + (f"#{split}" if split else "")
    check_way(images, keep=True, spec=spec)
    refuse_unwritable([*dataset.vocabulary, *([split] if split else [])], spec)
    refuse_unwritable_images(dataset.images, spec)
    home = path.parent / "images"
    if path.exists() or (images != "keep" and home.exists()):
        there = path if path.exists() else home
        raise InputError(
            f"{spec}: {there} is there already; nothing is overwritten. Give another place, or remove it."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        nullcontext(home) if images == "keep" else new_folder(home) as pictures,
        written_whole(path) as part,
        part.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(line + "\n" for line in _head(dataset))
        unmeasured = 0
        for i, key in enumerate(dataset.images):
            if images == "keep":
                name = reference(dataset.path(i), path.parent)
            else:
                name = key_inside(key, spec)
                place_image(dataset.path(i), pictures / name, images=images)
            size = _size(dataset.path(i))
            unmeasured += not size
            subset = f" subset={quoteattr(split)}" if split else ""
            file.write(f'  <image id="{i}" name={quoteattr(name)}{subset}{size}>\n')
            for j in np.flatnonzero(dataset.targets[i] == PRESENT):
                file.write(
                    f'    <tag label={quoteattr(dataset.vocabulary.names[j])} source="manual"></tag>\n'
                )
            file.write("  </image>\n")
        file.write("</annotations>\n")
    notes = unknown_note(int((dataset.targets == UNKNOWN).sum()))
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


def _size(path: Path) -> str:
    """Return the attributes of width and height, from the file's header; empty where it cannot be opened."""
    try:
        source = path if path.is_file() else BytesIO(image_bytes(path))
        with Image.open(source) as image:
            return f' width="{image.width}" height="{image.height}"'
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
