"""Names that a file could not give back: refused before it is written.

Used by the writers of `formats`. Knows no layout, only what kinds of text there are.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError
from labelbeam.formats.parts.image_keys import plain_path
from labelbeam.labels.hygiene import clean, refuse_reserved


def refuse_unwritable(names: Iterable[str], spec: str, *, without: str = "", control: bool = True) -> None:
    """Raise an error where a name would not come back from the file that is about to be written.

    Args:
        names: labels.
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
        text = all(_is_text(char, control=control) for char in image)
        if not text or plain_path(image) != image or not (blanks or image.strip() == image):
            raise InputError(
                f"{spec}: the file name {image!r} would be read back as another one: it holds a character that this "
                "format cannot, a backslash, or blanks at its ends. Rename the file."
            )


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


def encodable(text: str) -> bool:
    """Return whether a text can be written as UTF-8: file names that are not Unicode cannot."""
    return all(_is_text(char, control=False) for char in text)


def _is_text(char: str, *, control: bool) -> bool:
    """Return whether UTF-8 can hold a character; with `control`, whether XML 1.0 can in an attribute, as it is."""
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return False
    return not control or (code >= 0x20 and not 0x7F <= code <= 0x9F and code & 0xFFFE != 0xFFFE)
