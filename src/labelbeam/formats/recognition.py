"""Which format a folder or file is in, from its names and the first bytes of a few files; nothing is read whole.

Says what speaks for each format, and leaves it to the caller to hesitate where there are two. Knows what formats look
like from outside, nothing of how they are read.
"""

import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from labelbeam.data.finder import HOMES, LABEL_HOMES
from labelbeam.data.image_bytes import image_columns, open_regular, opened_parquet
from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError
from labelbeam.formats.coco import annotation_files
from labelbeam.formats.csv_rows import ADDRESS_COLUMNS, IMAGE_COLUMNS, TAGS_COLUMNS, folded_name
from labelbeam.formats.csv_table import ROBOFLOW_FILES
from labelbeam.formats.folder import is_odd, is_split
from labelbeam.formats.json_documents import CREATEML_FILES
from labelbeam.formats.lists import CELEBA
from labelbeam.formats.photo_metadata.embedded import iptc_keywords, read_metadata
from labelbeam.formats.photo_metadata.xmp import xmp_keywords
from labelbeam.formats.yolo import CLASS_FILES, is_yolo_text

MOST = 4_000
"""Entries of a folder that are looked at, the nearest first."""

HEAD = 1 << 16
"""Bytes of a file that are looked at, at its beginning and at its end."""

_SAMPLES = 5

_VECTORS = (".npz", ".npy", ".arrow", ".feather", ".ipc", ".arff", ".svm", ".libsvm")


@dataclass(frozen=True)
class Guess:
    """A format that a path may be in.

    Attributes:
        path: what is to be read: the path, a file in it, or the folder of it.
        why: what speaks for it, in words.
    """

    format: str
    path: Path
    why: str


def recognised(path: Path) -> list[Guess]:
    """Return the formats that a path may be in; empty where nothing is recognised.

    Raises:
        InputError: files of a program whose format is not read; it says what to export instead.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "tags.jsonl").write_text('{"image": "a.jpg", "labels": ["cat"]}')
        ...     [guess.format for guess in recognised(Path(folder))]
        ['jsonl']
    """
    if path.is_file():
        found = list(_of_file(path))
        if not found or _named_foreign(path):
            _refuse_foreign(path, [path])
        return found
    tree = _Tree(_unwrapped(path))
    guesses: list[Guess] = []
    for rule in _STRONG:
        guesses += [Guess(name, place, why) for name, place, why in rule(tree)]
    if guesses:
        # A table of images and labels beside them is another reading.
        guesses += [
            guess for guess in _tables_of_labels(tree) if guess.format not in {g.format for g in guesses}
        ]
    else:
        files = [tree.root / file for file in tree.files]
        _refuse_foreign(path, files, _TELLING)
        for rule in _WEAK:
            guesses += [Guess(name, place, why) for name, place, why in rule(tree)]
        if not guesses:
            _refuse_foreign(path, files)
    return list({(guess.format, guess.path): guess for guess in guesses}.values())


_PARTS = frozenset({*HOMES, *LABEL_HOMES, "vocdevkit", "voc2007", "voc2012"})
"""Folders that are a part of a data set, as splits are, also where they are the only one."""


def _unwrapped(folder: Path) -> Path:
    """Return the folder in a folder that holds nothing else, as unpacked archives have them, one in the other."""
    for _ in range(5):
        try:
            inner = [e for e in folder.iterdir() if not e.name.startswith(".") and e.name != "__MACOSX"]
        except OSError:
            break
        name = inner[0].name.casefold() if len(inner) == 1 else ""
        if not name or name in _PARTS or is_split(name) or is_odd(name) or not inner[0].is_dir():
            break
        if not any(entry.is_dir() or entry.suffix.lower() not in SUFFIXES for entry in inner[0].iterdir()):
            break  # of photographs alone; its name may be a label
        folder = inner[0]
    return folder


class _Tree:
    """The files of a folder, the nearest first, up to `MOST` of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[str] = []
        left = deque([(root, "")])
        seen = 0
        while left and seen < MOST:
            folder, start = left.popleft()
            try:
                entries = sorted(folder.iterdir())
            except OSError:
                continue
            for entry in entries[:MOST]:
                seen += 1
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if entry.is_dir():
                    if start.count("/") < 5 and not entry.is_symlink():
                        left.append((entry, f"{start}{entry.name}/"))
                elif entry.is_file():
                    self.files.append(start + entry.name)
        self.images = [file for file in self.files if PurePosixPath(file).suffix.lower() in SUFFIXES]

    def named(self, *patterns: str) -> list[str]:
        """Return the files that match one of some patterns; a pattern without `/` matches the name."""
        return [file for file in self.files if any(PurePosixPath(file).match(one) for one in patterns)]

    def ending(self, *suffixes: str) -> list[str]:
        return [file for file in self.files if file.lower().endswith(suffixes)]


Found = Iterator[tuple[str, Path, str]]
"""Format, path, reason."""


def _voc(tree: _Tree) -> Found:
    for edition in ("VOC2007", "VOC2012"):
        for home in (tree.root / edition, tree.root / "VOCdevkit" / edition, tree.root):
            named = home != tree.root or tree.root.name == edition
            if named and (home / "Annotations").is_dir() and (home / "ImageSets" / "Main").is_dir():
                yield edition.lower(), tree.root, f"{edition} with Annotations and ImageSets/Main"
                break
    if any((tree.root / home).is_dir() for home in ("VOC2007", "VOC2012", "VOCdevkit")) or tree.root.name in {
        "VOC2007",
        "VOC2012",
    }:
        return
    xml = tree.ending(".xml")[:_SAMPLES]
    if any(re.search(rb"<annotation[\s>]", _head(tree.root / file)) for file in xml):
        yield "voc", tree.root, f"XML files that begin with <annotation>, such as {xml[0]}"


def _cvat(tree: _Tree) -> Found:
    for file in ("annotations.xml", *tree.named("*.xml")[:_SAMPLES]):
        if re.search(rb"<annotations[\s>]", _head(tree.root / file)):
            yield (
                "cvat",
                tree.root if file == "annotations.xml" else tree.root / file,
                f"{file} begins with <annotations>",
            )
            return


def _json_files(tree: _Tree) -> Found:
    """Files of JSON that say what they are; where a format is one file, each is a data set of its own."""
    seen: set[tuple[str, Path]] = set()
    official = list(annotation_files(tree.root).values())
    others = [tree.root / file for file in tree.ending(".json") if not file.endswith("package.json")]
    for file in [*official, *others][:40]:
        for guess in _of_json(file):
            place = {
                "coco": tree.root if file in official else file,
                "labelme": tree.root,
                "createml": tree.root if file.name in CREATEML_FILES else file,
                "datumaro": tree.root if file.parent == tree.root / "annotations" else file,
                "fiftyone": tree.root,
            }.get(guess.format, file)
            if (guess.format, place) not in seen and not (
                guess.format == "coco" and official and place != tree.root
            ):
                seen.add((guess.format, place))
                yield guess.format, place, guess.why


def _yolo(tree: _Tree) -> Found:
    for file in tree.named("data.yaml", "data.yml", "*.yaml", "*.yml"):
        if "/" not in file and re.search(rb"^\s*names\s*:", _head(tree.root / file), re.MULTILINE):
            yield "yolo", tree.root, f"{file} has names of classes"
            return
    texts = [
        file for file in tree.ending(".txt") if PurePosixPath(file).name not in {"classes.txt", "train.txt"}
    ]
    boxes = [file for file in texts[:20] if is_yolo_text(_head(tree.root / file).decode("utf-8", "replace"))]
    if boxes and tree.images:
        names = tree.named(*CLASS_FILES)
        yield (
            "yolo",
            tree.root,
            f"{boxes[0]} holds boxes" + (f" and {names[0]} names of classes" if names else ""),
        )


def _nuswide(tree: _Tree) -> Found:
    if tree.named("Concepts81.txt", "Labels_airport.txt", "Labels_airport_Train.txt"):
        yield "nuswide81", tree.root, "NUS-WIDE's concepts"
        if tree.named("AllTags1k.txt", "Train_Tags1k.dat"):
            yield "nuswide1000", tree.root, "NUS-WIDE's AllTags1k.txt"


def _tables(tree: _Tree) -> Found:
    metadata = tree.named("metadata.jsonl", "metadata.csv", "metadata.parquet")
    if metadata:
        yield "imagefolder", tree.root, f"{metadata[0]}"
    parquet = [file for file in tree.ending(".parquet") if file not in metadata]
    if parquet:
        for guess in _of_parquet(tree.root / parquet[0]):
            yield guess.format, tree.root if guess.format == "parquet" else guess.path, guess.why
    if labels := tree.named("*imagelabels*.csv"):
        yield "openimages", tree.root, f"{labels[0]}"
    if roboflow := tree.named(*ROBOFLOW_FILES):
        yield "csv", tree.root if "/" in roboflow[0] else tree.root / roboflow[0], f"{roboflow[0]}"
    if celeba := tree.named(CELEBA):
        yield "list", tree.root / celeba[0], f"{celeba[0]}"


def _archives(tree: _Tree) -> Found:
    if shards := tree.ending(".tar"):
        yield "webdataset", tree.root, f"archives, such as {shards[0]}"


def _single_files(tree: _Tree) -> Found:
    """Tables and lists in the folder itself, each for itself; where none is there, those in a folder of labels."""
    files = tree.ending(".csv", ".tsv", ".jsonl", ".ndjson", ".manifest", ".txt", ".db", ".sqlite", *_VECTORS)
    own = [file for file in files if "/" not in file]
    homes = [file for file in files if file.rpartition("/")[0].casefold() in LABEL_HOMES]
    for file in own or homes:
        for guess in _of_file(tree.root / file):
            yield guess.format, guess.path, guess.why


def _tables_of_labels(tree: _Tree) -> Iterator[Guess]:
    """Yield the CSV files in the folder itself whose first line names images and labels."""
    for file in tree.ending(".csv", ".tsv"):
        if "/" not in file:
            first = _head(tree.root / file).decode("utf-8", "replace").partition("\n")[0].strip("\ufeff\r")
            names = {folded_name(name.strip(' "')) for name in re.split("[,;\t]", first)}
            if names & IMAGE_COLUMNS and names & TAGS_COLUMNS:
                yield from _of_file(tree.root / file)


def _beside_images(tree: _Tree) -> Found:
    texts = set(tree.ending(".txt"))
    beside = [
        image
        for image in tree.images
        if {str(PurePosixPath(image).with_suffix(".txt")), f"{image}.txt"} & texts
    ]
    if beside:
        yield "sidecar", tree.root, f"texts beside images, such as of {beside[0]}"
    tagged = tree.ending(".xmp") or [file for file in tree.images[:20] if _has_keywords(tree.root / file)]
    if tagged:
        yield "keywords", tree.root, f"keywords of photographs, such as in {tagged[0]}"
    inside = [image for image in tree.images if "/" in image]
    if inside and len(inside) == len(tree.images) and len({image.rpartition("/")[0] for image in inside}) > 1:
        yield "folder", tree.root, f"images in folders, such as {inside[0]}"


_STRONG: tuple[Callable[[_Tree], Found], ...] = (
    _voc,
    _cvat,
    _json_files,
    _yolo,
    _nuswide,
    _tables,
    _archives,
)
"""What only one kind of data set has."""

_WEAK: tuple[Callable[[_Tree], Found], ...] = (_single_files, _beside_images)
"""What other data sets have beside them too."""

_COCO = "Export it as COCO, Pascal VOC or YOLO"
_FOREIGN_KEYS: tuple[tuple[frozenset[str], str, str], ...] = tuple(
    (frozenset(keys.split()), name, advice)
    for keys, name, advice in (
        ("_via_settings", "a project of VIA (VGG Image Annotator)", "Export its annotations as COCO"),
        ("regions file_attributes", "annotations of VIA (VGG Image Annotator)", "Export them as COCO"),
        ("asset regions", "an asset of VoTT", "Export the project as Pascal VOC or CSV"),
        ("assets tags", "a project or export of VoTT", "Export it as Pascal VOC or CSV"),
        ("objects tags size description", "a project of Supervisely", _COCO),
        ("data_row projects", "an export of Labelbox", "Convert it to COCO, or write CSV: image,tags"),
        ("box2d category", "labels of BDD100K (Scalabel)", "Convert them to COCO (bdd100k.label.to_coco)"),
        ("imgHeight imgWidth objects", "annotations of Cityscapes", "Convert them to COCO"),
        ("schema_ref annotations", "annotations of V7 (Darwin JSON)", _COCO),
        ("_input_hash", "annotations of Prodigy", "Write JSON Lines with image and labels"),
        ("export_format_version label_classes", "an export of Hasty", "Export it as COCO or Pascal VOC"),
        ("type task class_names", "a data set of Ultralytics' platform (NDJSON)", "Download it as YOLO"),
        ("jsonResponse", "an export of Kili", _COCO),
        (
            "image_id category_id score",
            "a model's detections (COCO results), not labels",
            "Give the file with images, annotations and categories",
        ),
    )
)
"""Keys of JSON that tell programs whose files are not read; what to do instead."""

_SAVE = "Write the images as files and their labels as CSV, image,tags"
_FOREIGN_FILES: tuple[tuple[str, str, str], ...] = (
    (r".*\.vott", "a project of VoTT", "Export it as Pascal VOC or CSV"),
    (r".*[.-]tfrecords?(-.*|\.gz)?|.*\.record(-.*)?", "TFRecord (TensorFlow)", _SAVE),
    (r"data-\d{5}-of-\d{5}\.arrow", "what save_to_disk of Hugging Face wrote", "Write Parquet (to_parquet)"),
    (r"(tree|animals|people)_r1\.txt", "annotations of MIRFLICKR, a list of numbers a label", _SAVE),
    # from here on, what may lie beside a data set of another kind
    (r".*\.mat", "a file of MATLAB", _SAVE),
    (r".*\.(pkl|pickle|pt|pth|joblib)", "pickled, which is never read, as it may run a program", _SAVE),
    (r".*\.(h5|hdf5)", "HDF5", _SAVE),
    (r"data\.mdb|.*\.lmdb", "LMDB", _SAVE),
    (r".*\.(rec|beton)", "records of MXNet or FFCV", _SAVE),
    (r".*\.(xlsx?|ods|numbers)", "a spreadsheet", "Save it as CSV (UTF-8)"),
    (r".*\.(zip|7z|rar|tgz|tar\.gz|tar\.bz2|tar\.xz)", "an archive", "Unpack it, and give the folder"),
)
"""Names of files that are not read."""

_TELLING = 4
"""How many of them tell a data set whatever else is there."""


def _named_foreign(file: Path, most: int = len(_FOREIGN_FILES)) -> tuple[str, str] | None:
    name = file.name.casefold()
    if name.endswith(".csv") and b"region_shape_attributes" in _head(file)[:400]:
        return "annotations of VIA (VGG Image Annotator)", "Export them as COCO"
    found = (one for one in _FOREIGN_FILES[:most] if re.fullmatch(one[0], name))
    return next(((what, advice) for _, what, advice in found), None)


def _refuse_foreign(path: Path, files: Iterable[Path], most: int = len(_FOREIGN_FILES)) -> None:
    """Refuse what other programs write and labelbeam does not read, rather than take its folders or texts for labels.

    Raises:
        InputError: such a file; it says what to export instead.
    """
    for file in [one for one in files if one.suffix.lower() not in SUFFIXES][:200]:
        found = _named_foreign(file, most)
        if found is None and _head(file).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
            _, keys = _json_keys(file)
            found = next(((what, advice) for wanted, what, advice in _FOREIGN_KEYS if wanted <= keys), None)
        if found is not None:
            raise InputError(f"{path}: {file.name} is {found[0]}, which labelbeam does not read. {found[1]}.")


def _of_file(file: Path) -> Iterator[Guess]:
    """Yield the formats that a file may be in."""
    suffix, head = file.suffix.lower(), _head(file)
    if head.startswith(b"SQLite format 3"):
        yield Guess("project", file, "a database")
    elif suffix == ".tar":
        yield Guess("webdataset", file, "an archive")
    elif head.startswith(b"PAR1"):
        if file.name == "metadata.parquet":
            yield Guess("imagefolder", file.parent, "its name")
        else:
            yield from _of_parquet(file)
    elif suffix in _VECTORS:
        yield Guess("vectors", file, f"a file of vectors ({suffix})")
    elif suffix in {".yaml", ".yml"} and re.search(rb"^\s*names\s*:", head, re.MULTILINE):
        yield Guess("yolo", file, "it has names of classes")
    elif re.search(rb"<annotations[\s>]", head):
        yield Guess("cvat", file, "it begins with <annotations>")
    elif re.search(rb"<annotation[\s>]", head):
        yield Guess("voc", file.parent, "it begins with <annotation>")
    elif suffix in {".csv", ".tsv"}:
        yield from _of_csv(file, head)
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        lines = list(_of_lines(file, head))
        yield from lines or _of_json(file)
    elif suffix == ".txt":
        yield from _of_text(file, head)


def _of_csv(file: Path, head: bytes) -> Iterator[Guess]:
    first = head.decode("utf-8", "replace").partition("\n")[0].casefold()
    if "imagelabels" in file.name.casefold() or first.startswith("imageid,source,labelname,confidence"):
        yield Guess("openimages", file, "its name or columns")
    elif first.startswith(("gs://", "train,gs://", "training,gs://")):
        yield Guess("vertex", file, "it begins with a row of Vertex AI")
    elif "annotation_id" in first and "annotator" in first:
        yield Guess("labelstudio", file, "the columns annotator and annotation_id")
    elif file.name == "metadata.csv" and "file_name" in first:
        yield Guess("imagefolder", file.parent, "its name and the column file_name")
    else:
        yield Guess("csv", file, "its name")


def _of_lines(file: Path, head: bytes) -> Iterator[Guess]:
    """Yield the formats of a file with a JSON object a line."""
    line = head.lstrip(b"\xef\xbb\xbf").strip().partition(b"\n")[0]
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return
    keys = set(first) if isinstance(first, dict) else set()
    if "imageGcsUri" in keys:
        yield Guess("vertex", file, "its lines have imageGcsUri")
    elif "image_url" in keys:
        yield Guess("azure", file, "its lines have image_url")
    elif "source-ref" in keys:
        yield Guess("sagemaker", file, "its lines have source-ref")
    elif "file_name" in keys and file.suffix == ".jsonl":
        yield Guess("imagefolder", file.parent, "its lines have file_name")
    elif "image" in keys and keys & {"labels", "scores", "unknown", "error"}:
        yield Guess("jsonl", file, "its lines have image and labels")


def _of_json(file: Path) -> Iterator[Guess]:
    """Yield the formats that a JSON file may be in, by its keys."""
    kind, keys = _json_keys(file)
    if (
        kind == "["
        and "annotations" in keys
        and keys & {"filename", "image", "imagefilename"}
        and "result" not in keys
    ):
        yield Guess("createml", file, "a list of images with annotations")
    elif kind == "[" and ("result" in keys or keys & {"annotator", "lead_time", "annotation_id"}):
        yield Guess("labelstudio", file, "a list of tasks with results")
    elif {"metainfo", "data_list"} <= keys:
        yield Guess("mmpretrain", file, "it has metainfo and data_list")
    elif {"items", "categories"} <= keys:
        yield Guess("datumaro", file, "it has items and categories")
    elif "images" in keys and keys & {"categories", "category_id", "annotations"}:
        yield Guess("coco", file, "it has images, annotations and categories")
    elif kind == "[" and "image" in keys and "labels" in keys:
        yield Guess("jsonl", file, "a list of images with labels")
    elif "imagePath" in keys and keys & {"shapes", "flags"}:
        yield Guess("labelme", file.parent, "it has shapes or flags and imagePath")
    elif "samples" in keys and "filepath" in keys:
        yield Guess("fiftyone", file.parent, "samples with a filepath each")
    elif "labels" in keys and "class_names" in keys:
        yield Guess("cleanlab", file, "it has labels and class_names")
    elif file.name == "labels.json" and "labels" in keys:
        yield Guess("fiftyone", file.parent, "its name, and labels by the names of images")


def _json_keys(file: Path) -> tuple[str, set[str]]:
    """Return how a JSON file begins, and the keys in its first and last bytes."""
    head = _head(file).lstrip(b"\xef\xbb\xbf \t\r\n")
    tail = b""
    try:
        with open_regular(file) as opened:
            size = opened.seek(0, 2)
            if size > HEAD:
                opened.seek(max(HEAD, size - HEAD))
                tail = opened.read(HEAD)
    except OSError:
        return "", set()
    found = re.findall(rb'"([A-Za-z0-9_-]{1,40})"\s*:', head + b"\n" + tail)
    return head[:1].decode("ascii", "replace"), {key.decode("ascii") for key in found}


def _of_text(file: Path, head: bytes) -> Iterator[Guess]:
    """Yield the formats of a list of images with labels."""
    text = head.decode("utf-8", "replace")
    lines = [line for line in text.split("\n")[:20] if line.strip()]
    images = [line for line in lines if PurePosixPath(line.split()[0]).suffix.lower() in SUFFIXES]
    if file.name == CELEBA:
        yield Guess("list", file, "its name")
    elif lines and re.fullmatch(r"[-\d.,]+(\s+\d+:\S+)+", lines[0].strip()):
        yield Guess("vectors", file, "lines of LIBSVM")
    elif images and len(images) >= len(lines) - 2 and len((row := max(images, key=_num_words)).split()) > 1:
        commas = "\t" in row and "," in row.split()[-1]
        yield Guess(
            "paddle" if commas else "list",
            file,
            f"its lines are images and labels: {row.strip()[:40]}",
        )


def _num_words(line: str) -> int:
    return len(line.split())


def _of_parquet(file: Path) -> Iterator[Guess]:
    """Yield the formats of a Parquet file: images or vectors, by its columns."""
    try:
        schema = opened_parquet(file).schema_arrow
    except InputError:
        yield Guess("parquet", file, "a Parquet file")
        return
    kinds = {field.name: str(field.type) for field in schema}
    images = image_columns(schema) or [n for n in kinds if n.casefold() in IMAGE_COLUMNS | ADDRESS_COLUMNS]
    vectors = [name for name, kind in kinds.items() if re.search(r"^\w*list<.*(float|double)", kind)]
    vectors = [name for name in vectors if "struct<" not in kinds[name]]
    if images and not (vectors and kinds[images[0]] == "string"):
        yield Guess("parquet", file, f"{file.name} has a column {images[0]!r}")
    if vectors:
        yield Guess("vectors", file, f"{file.name} has a column {vectors[0]!r} of vectors")


def _has_keywords(image: Path) -> bool:
    try:
        found = read_metadata(image)
        return bool(iptc_keywords(found.iptc)[0]) or any(xmp_keywords(one, str(image)) for one in found.xmp)
    except InputError:
        return False


def _head(file: Path) -> bytes:
    try:
        with open_regular(file) as opened:
            head = opened.read(HEAD)
    except OSError:
        return b""
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return head.decode("utf-16", "replace").encode("utf-8", "replace")
    return head
