"""A data set as Hugging Face's ImageFolder: images and `metadata.jsonl` beside them.

The counterpart of `imagefolder`; `datasets.load_dataset("imagefolder", data_dir=…)` reads it too. Knows nothing of
pixels.
"""

import json
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.formats.parts.lost_notes import order_note
from labelbeam.formats.parts.placing import check_way, place_images
from labelbeam.formats.parts.split_folders import new_split_folder
from labelbeam.formats.parts.writable import refuse_unwritable, refuse_unwritable_images
from labelbeam.labels.targets import PRESENT, UNKNOWN


def write_imagefolder(
    dataset: Dataset, path: Path, *, split: str = "", images: str = "link"
) -> tuple[str, ...]:
    """Write images with `metadata.jsonl`: `{"file_name": "a.jpg", "labels": ["cat"]}`.

    Where labels are unknown, each row has a list `unknown`; where a label is neither on an image nor unknown for
    one, each row has a list `absent`, and the first row's names those labels. So nothing is lost but the order.

    Args:
        dataset: what to write.
        path: the folder to appear; with a split, the folder that gets a folder of that name.
        split: the split's folder, such as `train`; empty for none.
        images: `link` or `copy`.

    Returns:
        What the file does not hold.

    Raises:
        InputError: something is there already; an image that is missing; names that are not Unicode.
    """
    spec = f"imagefolder:{path}" + (f"#{split}" if split else "")
    check_way(images, keep=False, spec=spec)
    names = dataset.vocabulary.names
    refuse_unwritable(names, spec, control=False)
    refuse_unwritable_images(dataset.images, spec, control=False)
    unknown = dataset.targets == UNKNOWN
    unused = np.flatnonzero(~((dataset.targets == PRESENT) | unknown).any(axis=0))
    with new_split_folder(path, split, spec) as home:
        places = place_images(dataset, home, images=images)
        with (home / "metadata.jsonl").open("w", encoding="utf-8") as file:
            for i, place in enumerate(places):
                present = np.flatnonzero(dataset.targets[i] == PRESENT)
                row: dict[str, object] = {"file_name": place, "labels": [names[j] for j in present]}
                if unknown.any():
                    row["unknown"] = [names[j] for j in np.flatnonzero(unknown[i])]
                if len(unused):
                    row["absent"] = [names[j] for j in unused] if i == 0 else []
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return order_note(dataset)
