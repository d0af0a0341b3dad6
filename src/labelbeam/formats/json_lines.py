"""labelbeam's own JSON Lines: what `tag` and `evaluate --truth` write, read as a data set, and written.

    {"image": "a.jpg", "labels": ["sheep", "grass"], "unknown": ["dog"]}

So predictions, corrected by a person or not, become training data or any other format. Lines with an `error` are
left out and counted. Knows nothing of scores.
"""

import json
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.data.presence import settle
from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.placing import check_way, place_image, reference
from labelbeam.labels.targets import PRESENT, UNKNOWN
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.metrics.json_lines import read_lines


def read_json_lines(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read JSON Lines with `image`, `labels` and, where there are any, `unknown`.

    Args:
        path: the file.
        split: empty or `all`.
        options: `keep_unlabelled`, `missing`, `root` (None: the file's folder; the working folder where only
            that one holds the first image, since `tag` writes paths as they were given).

    Returns:
        The data set, labels by code point; a label that a line does not name is absent.

    Raises:
        InputError: a malformed line (named by its number), a label both present and unknown, no image, no label,
            another split, or image files that are missing.
    """
    spec = f"jsonl:{path}" + (f"#{split}" if split else "")
    if split not in {"", "all"}:
        raise InputError(f"{spec}: {unknown_name('split', split, ['all'])} A JSON Lines file has no splits.")
    rows: list[tuple[str, list[str], list[str]]] = []
    failed = 0
    for line in read_lines(path):
        if "error" in line.content:
            failed += 1
            continue
        if "labels" not in line.content:
            raise InputError(f"{line.where}: the key 'labels' is missing. Use [] for no label.")
        present = line.label_list("labels")
        unknown = line.label_list("unknown") if "unknown" in line.content else []
        if both := sorted(set(present) & set(unknown)):
            raise InputError(
                f"{line.where}: {both[0]!r} is in 'labels' and in 'unknown'; it can be in one of them."
            )
        rows.append((line.image.replace("\\", "/"), present, unknown))
    names = sorted({name for _, present, unknown in rows for name in (*present, *unknown)})
    if not names:
        raise InputError(f"{spec}: no line names a label, so there is nothing to read.")
    column = {name: j for j, name in enumerate(names)}
    targets = np.zeros((len(rows), len(names)), dtype=np.int8)
    for row, (_, present, unknown) in zip(targets, rows, strict=True):
        row[[column[name] for name in present]] = PRESENT
        row[[column[name] for name in unknown]] = UNKNOWN
    root, first = options.root or path.parent, rows[0][0]
    if options.root is None and not (root / first).is_file() and Path(first).is_file():
        root = Path()
    notes = [
        f"this is what I understood: {len(rows):,} images, {len(names):,} labels, image paths start at {root}/."
    ]
    if failed:
        notes.append(f"{failed} lines tell an error instead of labels and were left out.")
    images = tuple(image for image, _, _ in rows)
    return settle(Dataset(spec, root, images, Vocabulary(tuple(names)), targets, notes=tuple(notes)), options)


def write_json_lines(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write JSON Lines; present and unknown labels are named, absent ones are all others.

    Args:
        dataset: what to write.
        path: the file; nothing is overwritten. Placed images go into `images/` beside it.
        split: must be empty.
        images: `keep`, `link` or `copy`.

    Returns:
        What the file cannot hold.

    Raises:
        InputError: a file in the way, a split, or image files that cannot be placed.
    """
    spec = f"jsonl:{path}"
    check_way(images, keep=True, spec=spec)
    if split:
        raise InputError(f"{spec}#{split}: a JSON Lines file has no splits. Leave #{split} out.")
    if path.exists():
        raise InputError(f"{path} is there already; nothing is overwritten. Give another file, or remove it.")
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        for i in range(len(dataset)):
            example, image = dataset.example(i), reference(dataset.path(i), path.parent)
            if images != "keep":
                image = "images/" + Path(example.image).name
                place_image(dataset.path(i), path.parent / image, images=images)
            line = {"image": image, "labels": example.present}
            if example.unknown:
                line["unknown"] = example.unknown
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    said = ((dataset.targets == PRESENT) | (dataset.targets == UNKNOWN)).any(axis=0)
    if said.all():
        return ()
    lost = dataset.vocabulary.names_of(np.flatnonzero(~said).tolist())
    return (f"{len(lost)} labels that no image has cannot be told by this format: {', '.join(lost[:5])}.",)
