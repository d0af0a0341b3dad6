"""The samples of one shard: which members belong together, where they are.

Under the reader of WebDataset shards. Reads headers only. Knows nothing of labels.
"""

from dataclasses import dataclass, field
from pathlib import Path

from labelbeam.data.listing import SUFFIXES
from labelbeam.data.tar_members import tar_members
from labelbeam.errors import InputError


@dataclass(slots=True)
class Sample:
    """The members of a shard that have one key.

    Attributes:
        image: name of the image among them; None where there is none.
        others: suffix without its first dot, in lower case -> offset and size.
    """

    image: str | None = None
    others: dict[str, tuple[int, int]] = field(default_factory=dict)


def read_samples(shard: Path, spec: str) -> list[Sample]:
    """Return the samples of a shard in their order.

    The first dot of a file's name ends its key. Hidden files (macOS's `._a.jpg`) and members whose name starts
    with `__` (WebDataset's own) are no samples.

    Raises:
        InputError: the shard is compressed, damaged or cut short, or a sample has two images.
    """
    samples: dict[str, Sample] = {}
    for member in tar_members(shard):
        folder, slash, name = member.name.rpartition("/")
        if name.startswith((".", "__")) or "." not in name:
            continue
        stem, _, suffix = name.partition(".")
        suffix = suffix.lower()
        sample = samples.setdefault(f"{folder}{slash}{stem}", Sample())
        if f".{suffix}" not in SUFFIXES:
            sample.others[suffix] = member.offset, member.size
        elif sample.image in (None, member.name):
            sample.image = member.name
        else:
            raise InputError(
                f"{spec}: {shard}, byte {member.offset:,}: the sample {folder}{slash}{stem} has two images, "
                f"{sample.image} and {member.name}. Only samples of one image are read; name the other differently, "
                "such as key.mask.png."
            )
    return list(samples.values())
