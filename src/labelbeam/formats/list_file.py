"""One new file that lists images: how it refers to them, and where they go when they are placed beside it.

Used by the writers of formats that are one file. The file appears last, whole, and never in place of another.
Knows nothing of what is written into it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from labelbeam.data.dataset import Dataset
from labelbeam.data.listing import SUFFIXES
from labelbeam.data.new_folder import new_folder
from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError
from labelbeam.formats.labelled_images import refuse_unwritable
from labelbeam.formats.placing import check_way, place_image, references
from labelbeam.labels.targets import PRESENT


@contextmanager
def new_list_file(
    dataset: Dataset, path: Path, *, images: str, spec: str
) -> Iterator[tuple[Path, list[str]]]:
    """Yield where to write a new file, and how it refers to each image of a data set.

    Args:
        dataset: whose images are listed.
        path: the file to appear; its folder is made.
        images: `keep`: images are referred to where they are; `link` or `copy`: they are placed in a new folder
            beside the file, named after it (`tags_images` for `tags.csv`).
        spec: the data set argument, for messages.

    Yields:
        A path to write to, and a reference per image: relative to the file's folder, absolute where the image
        lies elsewhere.

    Raises:
        InputError: something is at `path` already, its folder cannot be made, an image file is missing, two
            images want the same place.
    """
    check_way(images, keep=True, spec=spec)
    refuse_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path.parent} cannot be made ({error.strerror}).") from None
    if images == "keep":
        found = references(dataset.paths, path.parent)
        with written_whole(path) as part:
            yield part, found
        return
    folder = path.with_name(f"{path.stem}_images")
    with written_whole(path) as part, new_folder(folder) as part_folder:
        places = place_images(dataset, part_folder, images=images)
        yield part, [f"{folder.name}/{place}" for place in places]


def place_images(dataset: Dataset, folder: Path, *, images: str) -> list[str]:
    """Place every image of a data set below a folder, by its key, and return where: relative, forward slashes.

    Raises:
        InputError: an image file is missing, two images want the same place.
    """
    places = [placed_key(key) for key in dataset.images]
    for source, place in zip(dataset.paths, places, strict=True):
        place_image(source, folder / place, images=images)
    return places


def placed_key(key: str) -> str:
    """Return an image key as a path that stays below the folder it is placed in.

    Example:
        >>> placed_key("/photos/a.jpg"), placed_key("../b/./c.jpg")
        ('photos/a.jpg', 'b/c.jpg')
    """
    parts = [part for part in PurePosixPath(key).parts if part not in ("/", "//", "..")]
    return "/".join(parts)


def refuse_unlisted(images: Iterable[str], spec: str) -> None:
    """Refuse images that nobody would find again who looks through a folder for images.

    Raises:
        InputError: a key with a hidden part, or whose suffix is not an image's.
    """
    for image in images:
        path = PurePosixPath(image)
        hidden = any(part.startswith(".") and part not in {".", ".."} for part in path.parts)
        if hidden or path.suffix.lower() not in SUFFIXES:
            raise InputError(
                f"{spec}: {image!r} does not look like an image inside a folder: its name must not start with a dot, "
                "and must end in the suffix of an image. Rename the file."
            )


def refuse_existing(path: Path) -> None:
    """Raise an error where something is at the place of a new file."""
    if path.exists():
        raise InputError(
            f"{path} is there already; nothing is overwritten. Give another place, or remove it."
        )


def check_names(names: Iterable[str], spec: str, *, without: str = "") -> None:
    """Refuse label names that would not come back from UTF-8 text, or that hold one of some characters.

    Raises:
        InputError: such a name, which is quoted.
    """
    refuse_unwritable(names, spec, without=without, control=False)
    if bad := next((name for name in names if not encodable(name)), None):
        raise InputError(f"{spec}: the label {bad!r} is not valid Unicode text. Rename it.")


def encodable(text: str) -> bool:
    """Return whether a text can be written as UTF-8: file names that are not Unicode cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unused_note(dataset: Dataset) -> tuple[str, ...]:
    """Return the sentence about labels that no image has, for formats that know labels by their images only."""
    unused = [
        name
        for name, used in zip(dataset.vocabulary, (dataset.targets == PRESENT).any(axis=0), strict=True)
        if not used
    ]
    if not unused:
        return ()
    return (f"{len(unused)} labels that no image has are not in the files: {', '.join(unused[:5])}.",)
