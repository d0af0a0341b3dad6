"""NUS-WIDE's rows: a folder listed once, and which image each line of its label files is about.

Lines carry no name, so images and labels are joined by line number. Names come from `ImageList`, or, where a copy
lacks it (that of 2025 does), from the photo ids of `All_Tags.txt`.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int8

from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError
from labelbeam.formats.documents import image_key

BLOCK = 1 << 24
"""Bytes in memory at a time."""

LONGEST_LINE = 1 << 16
"""Bytes; the longest official line has 2,002."""


@dataclass(frozen=True)
class OddCells:
    """Numbers of a file that are neither 0 nor 1.

    Attributes:
        file: where they were found.
        line: of the first one, counted from 1.
        column: of the first one, counted from 1.
        value: the first one.
        count: how many there are.
    """

    file: Path
    line: int
    column: int
    value: int
    count: int = 1

    def __str__(self) -> str:
        more = f" (and {self.count - 1:,} more like it)" if self.count > 1 else ""
        return f"{self.file.name} line {self.line} holds {str(self.value)[:20]}{more}"


def read_flags(
    file: Path, *, rows: int, columns: int, of: str
) -> tuple[Int8[np.ndarray, "rows columns"], OddCells | None]:
    r"""Read a file of zeros and ones.

    Args:
        file: one line per image; `columns` numbers a line, separated by tabs or blanks, which may trail.
        rows: lines that it must have.
        of: the file that says how many images there are, for the message.

    Returns:
        1 where the file says 1, else 0; and what was neither (`Labels_lake_Train.txt` has one such number).

    Raises:
        InputError: another number of lines, a line of another length, or something that is no number.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "Labels_lake.txt")
        ...     _ = file.write_text("0\n1\n-1130179\n")
        ...     flags, odd = read_flags(file, rows=3, columns=1, of="Imagelist.txt")
        >>> flags.ravel().tolist(), str(odd)
        ([0, 1, 0], 'Labels_lake.txt line 3 holds -1130179')
    """
    flags = np.zeros((rows, columns), dtype=np.int8)
    odd: OddCells | None = None
    done = 0
    for block in _blocks(file):
        table = _plain_table(block, columns)
        if table is None:
            table, found = _careful_table(block, columns, file, done)
            odd = replace(odd, count=odd.count + found.count) if odd and found else odd or found
        # Lines past the expected end are only counted, for the message.
        flags[done : done + len(table)] = table[: max(rows - done, 0)]
        done += len(table)
    if done != rows:
        raise InputError(
            f"{file} has {done:,} lines, but {of} names {rows:,} images. Labels and images are joined by line, so "
            "both must come from the same, untrimmed copy of NUS-WIDE. Fetch the shorter one again."
        )
    return flags, odd


def _blocks(file: Path) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines; blank lines at its end are left out."""
    rest, blanks = b"", b""
    with file.open("rb") as stream:
        first = True
        while block := stream.read(BLOCK):
            block = rest + (block.removeprefix(b"\xef\xbb\xbf") if first else block)
            first = False
            cut = block.rfind(b"\n") + 1
            rest = block[cut:]
            if len(rest) > LONGEST_LINE:
                raise InputError(
                    f"{file} has a line of more than {LONGEST_LINE:,} bytes; it is not a file of 0 and 1."
                )
            whole = blanks + block[:cut]
            # Blank lines are held back: at the end of the file they mean nothing, before other lines they do.
            kept = whole.rstrip(b"\r\n")
            end = whole.find(b"\n", len(kept)) + 1 if kept else 0
            blanks = whole[end:]
            if kept:
                yield whole[:end]
    if rest.strip():
        yield blanks + rest + b"\n"


def _plain_table(block: bytes, columns: int) -> np.ndarray | None:
    """Return the numbers of a block whose lines are all alike and hold single digits 0 and 1, else None."""
    width = block.find(b"\n") + 1
    last = 2 * columns - 1  # where what follows the last digit begins
    if len(block) % width or width <= last or block[last:width].strip():
        return None
    lines = np.frombuffer(block, dtype=np.uint8).reshape(-1, width)
    digits = lines[:, :last:2] - ord("0")
    separators = lines[:, 1:last:2]
    if digits.max() > 1 or (lines[:, last:] != lines[0, last:]).any():
        return None
    if columns > 1 and not ((separators == ord("\t")).all() or (separators == ord(" ")).all()):
        return None
    return digits.view(np.int8)


def _careful_table(block: bytes, columns: int, file: Path, before: int) -> tuple[np.ndarray, OddCells | None]:
    """Return the numbers of a block, line by line; `before`: lines of the file before it."""
    lines = block.split(b"\n")[:-1]
    table = np.zeros((len(lines), columns), dtype=np.int8)
    first: OddCells | None = None
    count = 0
    for i, line in enumerate(lines):
        body = line.strip()
        plain = len(body) == 2 * columns - 1 and not body[1::2].strip(b"\t ")
        if plain and not body[::2].strip(b"01"):
            table[i] = np.frombuffer(body[::2], dtype=np.uint8) - ord("0")
            continue
        values = _numbers(body, columns, file, before + i + 1)
        table[i] = [value == 1 for value in values]
        odd = [column for column, value in enumerate(values, 1) if value not in (0, 1)]
        count += len(odd)
        if odd and first is None:
            first = OddCells(file, before + i + 1, odd[0], values[odd[0] - 1])
    return table, replace(first, count=count) if first else None


def _numbers(line: bytes, columns: int, file: Path, number: int) -> list[int]:
    """Return the numbers of a line."""
    fields = line.split()
    if len(fields) != columns:
        raise InputError(
            f"{file}, line {number}: {len(fields)} numbers, but {columns} labels are listed. Is it the right "
            "file, and was it copied in full?"
        )
    values = []
    for column, text in enumerate(fields, 1):
        try:
            values.append(int(text))
        except ValueError:
            shown = text[:40].decode("ascii", "replace")
            raise InputError(
                f"{file}, line {number}, column {column}: {shown!r} is not a number. Lines hold 0 and 1; fetch "
                "the file again."
            ) from None
    return values


TEXT_SUFFIXES = frozenset({".txt", ".dat"})


@dataclass(frozen=True)
class FolderListing:
    """What is in a folder and its subfolders.

    Attributes:
        texts: file name in lower case -> its places relative to the root, the outermost first.
        images: paths of image files relative to the root, with forward slashes, sorted.
    """

    root: Path
    texts: Mapping[str, tuple[str, ...]]
    images: tuple[str, ...]

    def find(self, *names: str) -> Path | None:
        """Return the file of the first of these names that is there, the outermost of several, or None.

        Upper and lower case are one: mirrors disagree about `Imagelist.txt` and `ImageList.txt`.
        """
        for name in names:
            if places := self.texts.get(name.casefold()):
                return self.root / places[0]
        return None

    def repeated(self, names: set[str]) -> tuple[str, ...]:
        """Return those of these file names that are in several places, sorted."""
        return tuple(sorted(name for name in names if len(self.texts.get(name.casefold(), ())) > 1))


def list_folder(root: Path) -> FolderListing:
    """List a folder with its subfolders; hidden entries and macOS's copies of them are left out.

    Args:
        root: an existing folder; links to folders inside it are followed, circular ones once.

    Returns:
        The listing; one look at each folder, none at each file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("Concepts81.txt", "0001_5.jpg", ".hidden.txt"):
        ...         _ = Path(folder, name).write_bytes(b"")
        ...     listing = list_folder(Path(folder))
        >>> listing.images, dict(listing.texts)
        (('0001_5.jpg',), {'concepts81.txt': ('Concepts81.txt',)})
    """
    texts: dict[str, list[str]] = defaultdict(list)
    images: list[str] = []
    seen: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        if here in seen:
            inner.clear()
            continue
        seen.add(here)
        inner[:] = [name for name in inner if not name.startswith(".") and name != "__MACOSX"]
        start = os.path.relpath(folder, root).replace(os.sep, "/") + "/"
        for name in names:
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path each is slow)
            if suffix in SUFFIXES and not name.startswith("."):
                images.append((start + name).removeprefix("./"))
            elif suffix in TEXT_SUFFIXES and not name.startswith("."):
                texts[name.casefold()].append((start + name).removeprefix("./"))
    ordered = {
        name: tuple(sorted(places, key=lambda place: (place.count("/"), place)))
        for name, places in texts.items()
    }
    return FolderListing(root, ordered, tuple(sorted(images)))


IMAGE_LISTS = {"all": "Imagelist.txt", "train": "TrainImagelist.txt", "test": "TestImagelist.txt"}
PHOTO_IDS = "All_Tags.txt"


@dataclass(frozen=True)
class LabelFiles:
    """Where a set of labels is, for each part of the images.

    Attributes:
        labels: the label names, in their official order.
        names: part (`all`, `train`, `test`) -> for each file the names it may have; the files' columns, side by
            side, are the labels.
        columns: numbers per line of a file.
    """

    labels: tuple[str, ...]
    names: Mapping[str, tuple[tuple[str, ...], ...]]
    columns: int


@dataclass(frozen=True, eq=False)
class Rows:
    """Images and their labels, line by line.

    Attributes:
        names: `folder/0001_photoid.jpg` as the image list says it, or the photo id alone
            (`photoid-line-5` where several rows have it).
        flags: int8 [images labels] of 0 and 1.
        notes: sentences for the user.
    """

    names: tuple[str, ...]
    flags: np.ndarray
    notes: tuple[str, ...] = ()

    def subset(self, picked: np.ndarray) -> "Rows":
        """Return the rows at the indices `picked`."""
        return replace(self, names=tuple(self.names[i] for i in picked), flags=self.flags[picked])


def read_rows(listing: FolderListing, files: LabelFiles, part: str, *, spec: str) -> Rows:
    """Read a part of the images with their labels, from whichever of the official files are there.

    Raises:
        InputError: the files that are there do not tell; lines and images that do not fit each other.
    """
    if part == "all":
        rows = _all_rows(listing, files) or _both_parts(listing, files)
    else:
        rows = _listed_rows(listing, files, part) or _part_of_all(listing, files, part)
    if rows is None:
        raise InputError(f"{spec}: {_what_is_missing(listing, files, part)}")
    return rows


def photo_id(name: str) -> str:
    """Return the Flickr id in a file name.

    Example:
        >>> photo_id("actor/0001_2124494179.jpg"), photo_id("2124494179")
        ('2124494179', '2124494179')
    """
    return name.rpartition("/")[2].partition(".")[0].partition("-line-")[0].rpartition("_")[2]


def _listed_rows(listing: FolderListing, files: LabelFiles, part: str) -> Rows | None:
    """Return the rows of a part that has an image list and label files of its own."""
    image_list, label_files = listing.find(IMAGE_LISTS[part]), _label_files(listing, files, part)
    if image_list is None or label_files is None:
        return None
    names = _read_image_list(image_list)
    flags, notes = _read_labels(label_files, files, rows=len(names), of=image_list.name)
    return Rows(names, flags, notes)


def _all_rows(listing: FolderListing, files: LabelFiles) -> Rows | None:
    """Return all rows from the label files of all images."""
    if rows := _listed_rows(listing, files, "all"):
        return rows
    ids, label_files = listing.find(PHOTO_IDS), _label_files(listing, files, "all")
    if ids is None or label_files is None:
        return None
    names = _read_photo_ids(ids)
    flags, notes = _read_labels(label_files, files, rows=len(names), of=ids.name)
    note = (
        f"{IMAGE_LISTS['all']} is not there; the photo ids of {PHOTO_IDS}, whose lines are in the same order, were "
        "taken instead."
    )
    if nameless := sum(name.startswith("line-") for name in names):
        note += f" {nameless} of its lines have no photo id; those images cannot be found."
    if repeated := sum("-line-" in name for name in names):
        note += f" {repeated} share their id with another image; their line tells them apart."
    return Rows(names, flags, (*notes, note))


def _both_parts(listing: FolderListing, files: LabelFiles) -> Rows | None:
    """Return training rows, then test rows, where nothing lists all images."""
    train, test = (_listed_rows(listing, files, part) for part in ("train", "test"))
    if train is None or test is None:
        return None
    note = "no file lists all images here; the training images come first, then the test images."
    flags = np.concatenate([train.flags, test.flags])
    return Rows((*train.names, *test.names), flags, (*train.notes, *test.notes, note))


def _part_of_all(listing: FolderListing, files: LabelFiles, part: str) -> Rows | None:
    """Return the rows of a part out of the rows of all images; the other part's list will do."""
    other = "test" if part == "train" else "train"
    own_list, other_list = listing.find(IMAGE_LISTS[part]), listing.find(IMAGE_LISTS[other])
    found = own_list or other_list
    rows = _all_rows(listing, files) if found else None
    if rows is None or found is None:
        return None
    listed = _positions(rows.names, _read_image_list(found), found)
    if own_list is None:
        listed = np.setdiff1d(np.arange(len(rows.names)), listed)
    note = f"the {part} images are those that {found.name} {'lists' if own_list else 'does not list'}."
    return replace(rows.subset(listed), notes=(*rows.notes, note))


def _positions(names: Sequence[str], part: Sequence[str], file: Path) -> np.ndarray:
    """Return where the images of a list are among all: both are in the same order, and photo ids may repeat."""
    wanted = [photo_id(name) for name in part]
    found: list[int] = []
    for i, name in enumerate(names):
        if len(found) < len(wanted) and photo_id(name) == wanted[len(found)]:
            found.append(i)
    if len(found) < len(wanted):
        raise InputError(
            f"{file}, line {len(found) + 1}: {part[len(found)]!r} is not among all {len(names):,} images, or not in "
            "their order. Fetch the official list again."
        )
    return np.array(found, dtype=np.int64)


def _read_image_list(file: Path) -> tuple[str, ...]:
    """Return the names of an image list, with forward slashes."""
    names = []
    for number, line in enumerate(_lines(file), 1):
        name = line.strip()
        if name:
            name = image_key(name, f"{file}, line {number}")
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise InputError(
                rf"{file}, line {number}: {line[:60]!r} names no image such as actor\0001_2124494179.jpg. Lines are "
                "joined with labels by their number, so none may be left out. Fetch the file again."
            )
        names.append(name)
    if not names:
        raise InputError(f"{file} lists no image. Fetch the file again.")
    return tuple(names)


def _read_photo_ids(file: Path) -> tuple[str, ...]:
    """Return the first field of each line; where it is no number or not the only one, it gets the line's number."""
    ids = []
    with file.open(
        "rb"
    ) as lines:  # only \n ends a line: tags are words of any language, odd characters included
        for number, line in enumerate(lines, 1):
            first = line[:64].removeprefix(b"\xef\xbb\xbf").split(maxsplit=1)
            known = first and first[0].isdigit() and len(first[0]) < 64
            ids.append(first[0].decode("ascii") if known else f"line-{number}")
    if not ids:
        raise InputError(f"{file} is empty. Fetch the file again.")
    counts = Counter(ids)
    return tuple(one if counts[one] == 1 else f"{one}-line-{i}" for i, one in enumerate(ids, 1))


def _lines(file: Path) -> list[str]:
    """Return the lines of a text file without those that are blank at its end."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 text ({error}). Fetch the file again.") from None
    return text.rstrip().split("\n") if text.strip() else []


def read_label_names(file: Path) -> tuple[str, ...]:
    """Return the label names that a list holds, one a line, blank lines at its end left out."""
    return tuple(line.strip() for line in _lines(file))


def _read_labels(
    paths: Sequence[Path], files: LabelFiles, *, rows: int, of: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return int8 [rows labels] of 0 and 1, and a note about cells that were neither."""
    flags = np.zeros((rows, len(files.labels)), dtype=np.int8)
    odd = []
    for i, file in enumerate(paths):
        columns = slice(i * files.columns, (i + 1) * files.columns)
        flags[:, columns], found = read_flags(file, rows=rows, columns=files.columns, of=of)
        odd += [found] if found else []
    if not odd:
        return flags, ()
    shown = "; ".join(map(str, odd[:3])) + ("; …" if len(odd) > 3 else "")
    return flags, (f"cells that are neither 0 nor 1 count as absent: {shown}.",)


def _label_files(listing: FolderListing, files: LabelFiles, part: str) -> list[Path] | None:
    """Return the label files of a part, or None where one of them is not there."""
    found = [listing.find(*names) for names in files.names[part]]
    paths = [file for file in found if file is not None]
    return paths if len(paths) == len(found) else None


def _what_is_missing(listing: FolderListing, files: LabelFiles, part: str) -> str:
    """Return the sentences that say what to fetch."""
    lacking = [names[0] for names in files.names[part] if listing.find(*names) is None]
    lists = {name for name in IMAGE_LISTS.values() if listing.find(name)}
    wanted = [] if IMAGE_LISTS[part] in lists else [IMAGE_LISTS[part]]
    if lacking:
        shown = ", ".join(lacking[:3]) + (f", … ({len(lacking)} in all)" if len(lacking) > 3 else "")
        wanted.append(shown)
    says = f"below {listing.root} there is no {' and no '.join(wanted)}."
    if lacking and listing.find("AllTags81.txt", "Train_Tags81.txt", "Test_Tags81.txt"):
        says += " (The *_Tags81 files are what users typed, not the ground truth, and are not taken for it.)"
    if not lacking and part != "all":
        says += (
            f" Without it nobody knows which images the lines are about. {IMAGE_LISTS['train']} or "
            f"{IMAGE_LISTS['test']} is enough, together with {PHOTO_IDS} or {IMAGE_LISTS['all']} and the labels of "
            "all images; the copy of 2025 on Hugging Face has no ImageList, so of it only #all and what follows "
            "from #all can be read."
        )
    return says + " Fetch the missing files from the official archives; they may lie in any subfolder."
