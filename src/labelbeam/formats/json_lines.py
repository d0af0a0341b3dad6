"""labelbeam's own JSON Lines: what `tag` and `evaluate --truth` write, read as a data set, and written.

    {"image": "a.jpg", "labels": ["sheep", "grass"], "unknown": ["dog"]}

So predictions, corrected by a person or not, become training data or any other format. Lines with an `error` are
left out and counted. Knows nothing of scores.
"""

import json
from pathlib import Path

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.finder import lost_images
from labelbeam.errors import InputError
from labelbeam.formats.image_names import image_key
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.placing import (
    new_list_file,
    refuse_split_in_file,
    refuse_split_to_write,
    refuse_unwritable,
    refuse_unwritable_images,
    unused_note,
)
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN
from labelbeam.metrics.prediction_file import read_lines


def read_json_lines(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read JSON Lines with `image`, `labels` and, where there are any, `unknown`.

    Args:
        path: the file.
        split: empty or `all`.
        options: `keep_unlabelled`, `missing`, `root` (None: the file's folder; the working folder where only
            that one holds images, since `tag` writes paths as they were given).

    Returns:
        The data set, labels by code point; a label that a line does not name is absent.

    Raises:
        InputError: a malformed line (named by its number), a label both present and unknown, no image, no label,
            another split, or image files that are missing.
    """
    spec = f"jsonl:{path}" + (f"#{split}" if split else "")
    refuse_split_in_file(split, path, spec)
    said: list[tuple[str, dict[str, int]]] = []
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
        labels = dict.fromkeys(present, PRESENT) | dict.fromkeys(unknown, UNKNOWN)
        said.append((image_key(line.image, line.where), labels))
    images = [image for image, _ in said]
    root = options.root or path.parent
    if options.root is None and len(lost_images(root, images)) == len(images) > len(
        lost_images(Path(), images)
    ):
        root = Path()
    return labelled_dataset(
        said,
        spec=spec,
        root=root,
        names=None,
        unsaid=ABSENT,
        layout=f"image paths start at {root}/",
        options=options,
        notes=[f"{failed} lines tell an error instead of labels and were left out."] if failed else [],
    )


def write_json_lines(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write JSON Lines; present and unknown labels are named, absent ones are all others.

    Args:
        dataset: what to write.
        path: the file; nothing is overwritten. Placed images go into a new folder beside it, named after it.
        split: empty or `all`; a file is one split.
        images: `keep`, `link` or `copy`.

    Returns:
        What the file cannot hold.

    Raises:
        InputError: a file in the way, a split, names that are not Unicode, or image files that cannot be placed.
    """
    spec = f"jsonl:{path}" + (f"#{split}" if split else "")
    refuse_split_to_write(split, path, spec)
    refuse_unwritable(dataset.vocabulary, spec, control=False)
    with new_list_file(dataset, path, images=images, spec=spec) as (part, references):
        refuse_unwritable_images(references, spec, control=False)
        with part.open("w", encoding="utf-8") as file:
            labels, unknown = (dataset.labels_by_image(value) for value in (PRESENT, UNKNOWN))
            for image, present, open_ in zip(references, labels, unknown, strict=True):
                line = {"image": image, "labels": present} | ({"unknown": open_} if open_ else {})
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return unused_note(dataset, named=(PRESENT, UNKNOWN))
