"""One new file that lists images: how it refers to them, and where they go when they are placed beside it.

Used by the formats that are one file. The file appears last, whole, and never in place of another. Knows nothing
of what is written into it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelbeam.data.dataset import Dataset
from labelbeam.data.new_folder import new_folder
from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.parts.placing import check_way, place_images, references


@contextmanager
def new_list_file(
    dataset: Dataset, path: Path, *, images: str, spec: str, pictures: str | None = None
) -> Iterator[tuple[Path, list[str]]]:
    """Yield where to write a new file, and how it refers to each image of a data set.

    Args:
        dataset: whose images are listed.
        path: the file to appear; its folder is made.
        images: `keep`: images are referred to where they are; `link` or `copy`: they are placed in a new folder
            beside the file.
        spec: the data set argument, for messages.
        pictures: name of that folder; None: after the file, `tags_images` for `tags.csv`.

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
    folder = path.with_name(f"{path.stem}_images" if pictures is None else pictures)
    with written_whole(path) as part, new_folder(folder) as part_folder:
        places = place_images(dataset, part_folder, images=images)
        yield part, [f"{folder.name}/{place}" for place in places]


def refuse_existing(path: Path) -> None:
    """Raise an error where something is at the place of a new file."""
    if path.exists():
        raise InputError(
            f"{path} is there already; nothing is overwritten. Give another place, or remove it."
        )


def refuse_split_in_file(split: str, path: Path, spec: str) -> None:
    """Refuse a split of a file that has none; `all` is the whole file.

    Raises:
        InputError: any other name.
    """
    if split not in {"", "all"}:
        raise InputError(
            f"{spec}: {unknown_name('split', split, ['all'])} {path} is one file, without splits."
        )


def refuse_split_to_write(split: str, path: Path, spec: str) -> None:
    """Refuse to write a split into a file that cannot say so.

    Raises:
        InputError: a split other than `all`.
    """
    if split not in {"", "all"}:
        raise InputError(
            f"{spec}: a file holds one split. Name it {path.stem}_{split}{path.suffix} and leave #{split} away."
        )
