"""Writing a data set: names that a file can hold, images beside their labels, lists and folders, what is lost.

Used by the writers of `formats`; the splits that readers choose among are here too. Knows no layout.
"""

import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
from jaxtyping import Int8

from labelbeam.data.dataset import Dataset
from labelbeam.data.image_bytes import image_bytes, open_regular, within_archive
from labelbeam.data.image_container import HEAD, decodable, kind_of
from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import new_folder, written_whole
from labelbeam.formats.documents import plain_path
from labelbeam.labels.names import clean, refuse_reserved
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN


def unknown_note(targets: Int8[np.ndarray, "images labels"]) -> tuple[str, ...]:
    """Return a note about unknown labels, which are written as absent; none where there are none.

    Example:
        >>> unknown_note(np.array([[-1, 1, -1]], dtype=np.int8))
        ('2 unknown labels were written as absent, because the format has no word for unknown.',)
    """
    count = int((targets == UNKNOWN).sum())
    if not count:
        return ()
    return (f"{count:,} unknown labels were written as absent, because the format has no word for unknown.",)


def unused_note(
    dataset: Dataset, *, named: Sequence[int] = (PRESENT,), elsewhere: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return a note about labels that are lost where a format names labels of images only.

    Args:
        named: the values of a label that the format writes.
        elsewhere: labels that are known without any image.
    """
    used = np.any([(dataset.targets == value).any(axis=0) for value in named], axis=0).tolist()
    names = zip(dataset.vocabulary, used, strict=True)
    unused = [name for name, has_image in names if not has_image and name not in elsewhere]
    if not unused:
        return ()
    return (f"{len(unused)} labels that no image has are not kept by this format: {', '.join(unused[:5])}.",)


def order_note(dataset: Dataset) -> tuple[str, ...]:
    """Return a note about the order of labels where a format does not hold it; none where they are sorted."""
    names = dataset.vocabulary.names
    if names == tuple(sorted(names)):
        return ()
    return ("the order of the labels is not in the file: they are read sorted by name.",)


def refuse_unwritable(names: Iterable[str], spec: str, *, without: str = "", control: bool = True) -> None:
    """Raise an error where a name would not come back from the file that is about to be written.

    Args:
        spec: what is to be written, for the message.
        without: characters that the format cannot hold inside a name.
        control: whether the format cannot hold what XML cannot; control characters are refused everywhere.

    Raises:
        InputError: such a name, or one that is not Unicode text, which is quoted.

    Example:
        >>> refuse_unwritable(["traffic light", "海"], "cvat:a.xml")
    """
    for name in names:
        bad = next((char for char in name if char in without or not _is_text(char, control=control)), None)
        if bad is not None:
            raise InputError(
                f"{spec}: the label {name!r} holds {bad!r}, which this format cannot. Rename the label first."
            )
        if clean(name) != name:
            raise InputError(
                f"{spec}: the label {name!r} would be read back as {clean(name)!r} (composed Unicode, no "
                "blanks around it). Rename the label first."
            )
    refuse_reserved(names, spec)


def refuse_unwritable_images(
    images: Iterable[str], spec: str, *, control: bool = True, blanks: bool = True
) -> None:
    """Raise an error for an image key that would not come back from a file.

    Args:
        images: keys, or how the file is to refer to images.
        spec: what is to be written, for the message.
        control: whether the format cannot hold control characters.
        blanks: whether the format keeps blanks at the ends of a name.

    Raises:
        InputError: such a character, a byte that is not UTF-8, a backslash, `./` in front, or an address, which
            is quoted.
    """
    for image in images:
        text = (image.isascii() and image.isprintable()) or all(
            _is_text(char, control=control) for char in image
        )
        if not text or plain_path(image) != image or not (blanks or image.strip() == image):
            raise InputError(
                f"{spec}: the file name {image!r} would be read back as another one: it holds a character that this "
                "format cannot, a backslash, or blanks at its ends. Rename the file."
            )


def refuse_unlisted(images: Iterable[str], spec: str, *, more: Collection[str] = ()) -> None:
    """Refuse images that are not found again by looking through a folder for images.

    Raises:
        InputError: a key with a hidden part, or whose suffix is not an image's.
    """
    for image in images:
        path = PurePosixPath(image)
        hidden = any(part.startswith(".") and part not in {".", ".."} for part in path.parts)
        if hidden or path.suffix.lower() not in SUFFIXES.union(more):
            raise InputError(
                f"{spec}: {image!r} does not look like an image inside a folder: its name must not start with a dot, "
                "and must end in the suffix of an image. Rename the file."
            )


def encodable(text: str) -> bool:
    """Return whether a text can be written as UTF-8: file names that are not Unicode cannot."""
    return all(_is_text(char, control=False) for char in text)


def _is_text(char: str, *, control: bool) -> bool:
    """Return whether UTF-8 can hold a character; with `control`, whether XML 1.0 can in an attribute, as it is."""
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return False
    return not control or (code >= 0x20 and not 0x7F <= code <= 0x9F and code & 0xFFFE != 0xFFFE)


WAYS = ("keep", "link", "copy")
"""Files stay where they are and are referred to; hard links (copies on another file system); copies."""


def check_way(images: str, *, keep: bool, spec: str) -> None:
    """Refuse a way of placing images that there is not, or `keep` for a layout that needs the files in it."""
    if images not in WAYS:
        raise unknown_name("way to place images", images, WAYS)
    if images == "keep" and not keep:
        raise InputError(
            f"{spec}: this layout says labels by where the image files are, so they must be placed. "
            "Add --images link (hard links, no space needed) or --images copy."
        )


def place_images(dataset: Dataset, folder: Path, *, images: str) -> list[str]:
    """Place every image of a data set below a folder, by its key, and return where: relative, forward slashes."""
    places = placed_keys(dataset.images)
    for source, place in zip(dataset.paths, places, strict=True):
        place_image(source, folder / place, images=images, within=dataset.root)
    return places


def placed_keys(images: Iterable[str]) -> list[str]:
    """Return image keys as paths that stay below the folder they are placed in: what leads out of it is left out.

    Example:
        >>> placed_keys(["/photos/a.jpg", "../b/./c.jpg", "C:/d.jpg"])
        ['photos/a.jpg', 'b/c.jpg', 'd.jpg']
    """
    outside = re.compile(r"/+|\.\.|[A-Za-z]:")  # a drive leads out on Windows
    return [
        "/".join(part for part in PurePosixPath(key).parts if not outside.fullmatch(part)) for key in images
    ]


def require_own_image(source: Path, within: Path) -> None:
    """Refuse to carry a file that is no image, or lies outside of the folder that was named.

    Raises:
        InputError: either of the two.
        OSError: it is missing.
    """
    if not Path(os.path.abspath(source)).is_relative_to(os.path.abspath(within)):  # noqa: PTH100  links are not followed
        raise InputError(
            f"the image file {source} lies outside of {within}, and is not placed from there. Name a folder that holds "
            "all images with --root, or leave files where they are with --images keep."
        )
    _require_image(source)


def place_image(source: Path, target: Path, *, images: str, within: Path) -> None:
    """Put an image file at a place, as a hard link where `images` is `link` and that is possible, else a copy.

    Args:
        source: the file; one inside a tar archive is copied out of it.
        target: its new place; folders are made.
        images: `link` or `copy`.
        within: the folder that was named. A file of labels from elsewhere may name any file of this machine; what it
            names is placed only from there, and only images are.

    Raises:
        InputError: the source is missing, lies elsewhere or is no image; two images want the same place, or no file
            can be there.
    """
    try:
        require_own_image(source, within)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise InputError(
                f"two images want the place {target.name}; the second is {source}. Rename one of them."
            )
        if images == "link":
            try:
                os.link(source.resolve(), target)
                return
            except OSError:  # another file system, or one without links; an archive; or it is missing
                pass
        if source.is_file():
            shutil.copyfile(source, target)
        else:  # inside an archive, or missing
            target.write_bytes(image_bytes(source))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"the image file {source} is missing. Read with --missing skip to leave it out."
        ) from None
    except InputError:
        raise
    except (OSError, ValueError) as error:  # the second: a NUL in the name
        raise InputError(
            f"the image file {source} cannot be placed at {target} ({error}). Rename it, or give another place."
        ) from None


def _require_image(source: Path) -> None:
    """Refuse what is no image: neither by its name, which a link may have for anything, nor by its content."""
    if source.suffix.lower() in SUFFIXES and not source.is_symlink():
        return
    try:
        with open_regular(source) as file:
            kind = kind_of(file.read(HEAD))
    except (FileNotFoundError, NotADirectoryError):
        if within_archive(source) is None:
            raise
        kind = kind_of(image_bytes(source)[:HEAD])
    if not decodable(kind):
        raise InputError(
            f"{source} is no image ({kind or 'of no known kind'}), and is not placed. Leave it out."
        )


def references(sources: Iterable[Path | str], folder: Path) -> list[str]:
    """Return how a file in `folder` refers to images: relative where one lies below, else absolute.

    Links to folders are followed, so that the same place has one name, and each folder is looked at once. An
    image that is itself a link keeps its own name: what it leads to may be called `SHA256-….jpg`.

    Example:
        >>> references([Path("/photos/a/b.jpg"), Path("/c.jpg")], Path("/photos"))
        ['a/b.jpg', '/c.jpg']
    """
    here = folder.resolve()
    starts: dict[str, str] = {}
    found = []
    for source in (str(source) if os.sep == "/" else PurePath(source).as_posix() for source in sources):
        parent, slash, name = source.rpartition("/")
        if parent + slash not in starts:
            there = Path(parent + slash).resolve()
            start = there.relative_to(here) if there.is_relative_to(here) else there
            starts[parent + slash] = f"{PurePosixPath(start.as_posix())}/".removeprefix("./").replace(
                "//", "/"
            )
        found.append(starts[parent + slash] + name)
    return found


@contextmanager
def new_list_file(
    dataset: Dataset,
    path: Path,
    *,
    images: str,
    spec: str,
    split: str = "",
    pictures: str | None = None,
    control: bool = False,
    blanks: bool = True,
) -> Iterator[tuple[Path, list[str]]]:
    """Yield where to write a new file of one split, and how it refers to each image of a data set.

    The file appears last, whole, and never in place of another.

    Args:
        path: the file to appear; its folder is made.
        images: `keep`: images are referred to where they are; `link` or `copy`: they are placed in a new folder
            beside the file.
        spec: the data set argument, for messages.
        split: what the user named; a file cannot say it.
        pictures: name of the folder of images; None: after the file, `tags_images` for `tags.csv`.
        control: as `refuse_unwritable_images` takes it.
        blanks: as `refuse_unwritable_images` takes it.

    Yields:
        A path to write to, and a reference per image: relative to the file's folder, absolute where the image
        lies elsewhere.

    Raises:
        InputError: a split; something is at `path` already, its folder cannot be made, an image file is missing, two
            images want the same place, or a file name that would not come back.
    """
    refuse_split_to_write(split, path, spec)
    check_way(images, keep=True, spec=spec)
    refuse_existing(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path.parent} cannot be made ({error.strerror}).") from None
    if images == "keep":
        # As text: a path apiece takes longer than everything else.
        found = references((os.path.join(dataset.root, image) for image in dataset.images), path.parent)  # noqa: PTH118
        refuse_unwritable_images(found, spec, control=control, blanks=blanks)
        with written_whole(path) as part:
            yield part, found
        return
    folder = path.with_name(f"{path.stem}_images" if pictures is None else pictures)
    refuse_unwritable_images(placed_keys(dataset.images), spec, control=control, blanks=blanks)
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
    """Refuse a split of a file that has none, other than `all`."""
    if split not in {"", "all"}:
        raise InputError(
            f"{spec}: {unknown_name('split', split, ['all'])} {path} is one file, without splits."
        )


def refuse_split_to_write(split: str, path: Path, spec: str) -> None:
    """Refuse to write a split, other than `all`, into a file that cannot say so."""
    if split not in {"", "all"}:
        raise InputError(
            f"{spec}: a file holds one split. Name it {path.stem}_{split}{path.suffix} and leave #{split} away."
        )


def folders_in(folder: Path) -> dict[str, Path]:
    """Return the folders in a folder by their names, sorted, without hidden ones and macOS's copies.

    Raises:
        InputError: the folder cannot be listed.
    """
    try:
        found = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}). Give a folder.") from None
    return {
        entry.name: entry for entry in found if not entry.name.startswith(".") and entry.name != "__MACOSX"
    }


def split_folder(path: Path, split: str, spec: str) -> Path:
    """Return the folder of a split; an error names those that there are."""
    folders = folders_in(path)
    if split not in folders:
        raise InputError(f"{spec}: {unknown_name('split', split, folders)} A split is a folder in {path}.")
    return folders[split]


@contextmanager
def new_split_folder(path: Path, split: str, spec: str) -> Iterator[Path]:
    """Yield a folder to fill that becomes `path`, or the folder of a split in `path`, which may be there.

    Raises:
        InputError: something is there already, or the split cannot be a folder's name.
    """
    if split and (split.startswith(".") or "/" in split or "\\" in split or split in {"all", "__MACOSX"}):
        raise InputError(
            f"{spec}: {split!r} cannot be the name of a split's folder. Choose another, such as train."
        )
    with new_folder(path / split if split else path) as folder:
        yield folder


def chosen_splits(splits: Iterable[str], split: str, spec: str) -> tuple[list[str], list[str]]:
    """Return the splits that an argument means, and a note where it means several without saying so.

    No split at all: the data set is not divided.

    Raises:
        InputError: another name.

    Example:
        >>> chosen_splits(["test", "train"], "", "yolo:pets")
        (['test', 'train'], ['the splits test, train are read together; yolo:pets#test is one of them.'])
    """
    names = list(splits)
    if split in names:
        return [split], []
    if split not in {"", "all"}:
        raise InputError(f"{spec}: {unknown_name('split', split, [*names, 'all'])}")
    if split == "" and len(names) > 1:
        return names, [f"the splits {', '.join(names)} are read together; {spec}#{names[0]} is one of them."]
    return names, []
