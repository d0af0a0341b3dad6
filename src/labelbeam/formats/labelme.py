"""labelme: a JSON file for each image, with `flags` of the image and `shapes` drawn on it.

Reads what labelme saves: a flag that is set is a label that is present, one that is not set is absent, and a shape's
label is present. Knows nothing of pixels.

Source:
    wkentaro/labelme, `labelme/_label_file.py` and `examples/classification` (`--flags flags.txt`).
"""

from collections.abc import Mapping
from pathlib import Path

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.documents import damaged_note, left_out_note, read_each, split_folder_of
from labelbeam.formats.image_names import image_key, keys_by_either
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.placing import chosen_splits
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN
from labelbeam.parsing import read_json

PARTS = ("flags", "shapes")

IGNORED = frozenset({"__ignore__", "_background_"})
"""Labels of labelme's own that say nothing of an image."""


def read_labelme(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of labelme's files.

    The labels are all flags and all labels of shapes of the folder, sorted, whatever the split. A flag that a file does
    not have is unknown there; a label that is only drawn is absent where nothing of it is drawn. An image without a
    file was not annotated: it is left out, and counted.

    A split is a folder in `path`. `tags_column` reads `flags` or `shapes` only.

    Raises:
        InputError: no file of labelme's; no such split; a file that is not of its form; whatever `settle` finds.
    """
    spec = f"labelme:{path}" + (f"#{split}" if split else "")
    if options.tags_column not in {None, *PARTS}:
        raise unknown_name("part of a labelme file (--tags-column)", str(options.tags_column), PARTS)
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is not a folder. Give the folder that holds labelme's JSON files.")
    files = sorted(file for file in path.rglob("*.json") if not file.name.startswith("."))
    read, damaged = read_each(files, lambda file: _document(file, spec))
    documents = {file: found for file, found in read.items() if found is not None}
    if not documents:
        raise InputError(
            f"{spec}: no JSON file with 'shapes' and 'imagePath' in {path}. Is this the right one?"
        )
    parts = PARTS if options.tags_column is None else (options.tags_column,)
    folders = sorted({split_folder_of(file, path) for file in documents} - {""})
    chosen, notes = chosen_splits(folders, split, f"labelme:{path}")
    if len(folders) < 2 and split in {"", "all"}:
        notes = []
    flags = {file: _flags(found, file, spec) if "flags" in parts else {} for file, found in documents.items()}
    shapes = {
        file: _shapes(found, file, spec) if "shapes" in parts else [] for file, found in documents.items()
    }
    flag_names = {name for one in flags.values() for name in one}
    written: list[str] = []
    own: list[str] = []
    values: list[dict[str, int]] = []
    for file, document in documents.items():
        if split in {"", "all"} or split_folder_of(file, path) in chosen:
            labels = dict.fromkeys(flag_names - flags[file].keys(), UNKNOWN)
            labels |= {name: PRESENT if is_set else ABSENT for name, is_set in flags[file].items()}
            labels |= dict.fromkeys(shapes[file], PRESENT)
            start = "" if file.parent == path else file.parent.relative_to(path).as_posix() + "/"
            written.append(image_key(start + _image_path(document, file), f"{spec}: {file}"))
            own.append(start + file.stem)
            values.append(labels)
    images = keys_by_either(path, written, own, spec)
    if options.missing != "keep":
        home = path / split if split not in {"", "all"} and (path / split).is_dir() else path
        notes += left_out_note(path, [home], images, "have no file of labelme's")
    drawn = {name for names in shapes.values() for name in names}
    both = (
        f"{len(flag_names)} labels are flags of images, {len(drawn - flag_names)} are labels of shapes; --tags-column "
        "flags or shapes reads one of them."
    )
    return labelled_dataset(
        list(zip(images, values, strict=True)),
        spec=spec,
        root=path,
        names=sorted(flag_names | drawn),
        layout=f"labelme's {' and '.join(parts)}",
        options=options,
        notes=[
            *notes,
            *damaged_note(damaged, "JSON files", "their images are left out"),
            *([both] if flag_names and drawn - flag_names else []),
            *_unread(documents, parts, list(read)),
        ],
    )


def _document(file: Path, spec: str) -> Mapping[str, object] | None:
    """Return a file of labelme's; None for JSON of another kind."""
    found = read_json(file, spec)
    if not isinstance(found, dict) or not isinstance(found.get("imagePath"), str):
        return None
    return found if isinstance(found.get("shapes"), list) or isinstance(found.get("flags"), dict) else None


def _flags(document: Mapping[str, object], file: Path, spec: str) -> dict[str, bool]:
    flags = document.get("flags") or {}
    if not isinstance(flags, dict) or not all(isinstance(value, bool) for value in flags.values()):
        raise InputError(
            f"{spec}: {file}: 'flags' must be names with true or false, given {str(flags)[:60]}."
        )
    return {name: value for name, value in flags.items() if name not in IGNORED}


def _shapes(document: Mapping[str, object], file: Path, spec: str) -> list[str]:
    found: list[str] = []
    shapes = document.get("shapes") or []
    for shape in shapes if isinstance(shapes, list) else [shapes]:
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str):
            raise InputError(f"{spec}: {file}: a shape without a text 'label': {str(shape)[:60]}.")
        if label not in IGNORED:
            found.append(label)
    return found


def _image_path(document: Mapping[str, object], file: Path) -> str:
    written = str(document["imagePath"]).replace("\\", "/")
    # Images are found near the file; `../images/a.jpg` and `C:/photos/a.jpg` are of the machine that wrote it.
    return "/".join(part for part in written.split("/") if part not in {"", ".", ".."}) or f"{file.stem}.jpg"


def _unread(
    documents: Mapping[Path, Mapping[str, object]], parts: tuple[str, ...], files: list[Path]
) -> list[str]:
    """Return notes about what the files hold and is not read."""
    left_out = {
        part: sum(bool(one.get(part)) for one in documents.values()) for part in PARTS if part not in parts
    }
    notes = [f"{count:,} files have {part}, which are not read." for part, count in left_out.items() if count]
    listed = [found for one in documents.values() if isinstance(found := one.get("shapes"), list)]
    shapes = [shape for found in listed for shape in found]
    if "shapes" in parts and shapes:
        notes.append("where the shapes are is not read.")
    if flagged := sum(
        isinstance(shape, dict) and any((shape.get("flags") or {}).values()) for shape in shapes
    ):
        notes.append(f"{flagged:,} shapes have flags of their own, which are not read.")
    if inside := sum(isinstance(one.get("imageData"), str) for one in documents.values()):
        notes.append(f"{inside:,} files hold a copy of their image, which is not read; the image files are.")
    if others := len(files) - len(documents):
        notes.append(f"{others} JSON files are not labelme's and were left out.")
    return notes
