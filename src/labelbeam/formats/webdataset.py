"""WebDataset shards: tar files of samples, `key.jpg` beside `key.json`, `key.cls`, `key.txt` or `key.npy`.

The images stay where they are: their keys name members of the shards (`train-000000.tar/0007.jpg`), which
`data.image_bytes` reads. Only headers and label members are read here. Knows nothing of pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.parts.labelled_images import labelled_dataset
from labelbeam.formats.shards.label_members import LabelSource, choose_source
from labelbeam.formats.shards.shard_files import class_names, find_shards, shard_notes
from labelbeam.formats.shards.shard_samples import read_samples
from labelbeam.labels.targets import ABSENT


def read_webdataset(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read shards.

    Args:
        path: one shard; a pattern of shards (`train-{000000..000009}.tar`, `train-*.tar`); or the folder that
            holds them.
        split: in a folder: the subfolder of that name, or the shards whose name starts with it and a hyphen;
            empty or `all`: every shard.
        options: `tags_column` (which member or JSON field holds the labels: `cls`, `txt`, `npy`, `json` or a
            field's name; needed where several do), `delimiter` (between labels of a text; recognised),
            `keep_unlabelled`; `missing` has nothing to do, because images are in the shards.

    Returns:
        The data set; image keys are `SHARD/MEMBER`, relative to the folder, in the shards' order; labels are
        in the order of `classnames.txt`, otherwise sorted. The field `unknown` of a JSON member, a list of
        names, is what is unknown.

    Raises:
        InputError: no shard; one that is compressed, damaged or cut short; samples with two images; no member
            that holds labels, or several; ids without `classnames.txt`; text whose delimiter is ambiguous.

    Source:
        webdataset's format description (the first dot of a file's name ends the key); CLIP-benchmark's
        `classnames.txt`, `nshards.txt` and multi-hot `npy` members.
    """
    spec = f"webdataset:{path}" + (f"#{split}" if split else "")
    root, shards = find_shards(path, split, spec)
    classes = class_names(root, shards)
    source: LabelSource | None = None
    keys: list[str] = []
    values: list[object] = []
    lost = 0
    for shard in shards:  # one at a time: a shard's samples are let go before the next
        samples = read_samples(shard, spec)
        source = source or choose_source(samples, shard, wanted=options.tags_column, spec=spec)
        start = shard.relative_to(root).as_posix()
        with shard.open("rb") as file:
            for sample in samples:
                if sample.image is None:
                    lost += 1
                else:
                    keys.append(f"{start}/{sample.image}")
                    values.append(source.value(sample, file))
    if source is None or not keys:
        raise InputError(f"{spec}: no sample with an image in {len(shards)} shards. Give other shards.")
    said, style = source.labels(values, classes, delimiter=options.delimiter, spec=spec, keys=keys)
    return labelled_dataset(
        list(zip(keys, said, strict=True)),
        spec=spec,
        root=root,
        names=classes,
        unsaid=ABSENT,
        layout=f"labels in {source}{style}",
        options=replace(options, missing="keep"),  # every image was just seen in its shard
        notes=[*shard_notes(shards, lost), *_silent(source, values)],
    )


def _silent(source: LabelSource, values: Sequence[object]) -> Iterator[str]:
    if silent := sum(value is None for value in values):
        yield f"{silent:,} samples have no labels in {source}; they were read as images without a label."
