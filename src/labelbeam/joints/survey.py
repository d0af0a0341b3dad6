"""What a job of tagging has before it: how many images, and some of them, found in one listing.

The number is what progress and the choice of an engine go by; the sample is what int8 is calibrated on and
what judges rounded numbers (`joints.engine_of_job`). Opens no image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labelbeam.joints.engine_of_job import SAMPLED


@dataclass(frozen=True)
class Survey:
    """Images of a job, before they are read.

    Attributes:
        count: how many they are; None where nobody has looked.
        some: at most `SAMPLED` of them, evenly spread.
    """

    count: int | None = None
    some: Sequence[Path] = ()


def survey(paths: Iterable[Path], *, most: int = SAMPLED) -> Survey:
    """Go through a listing once; what is held of it at a time is twice the sample.

    Args:
        paths: all images of the job.
        most: images of the sample, at least 1.

    Example:
        >>> found = survey((Path(f"{i}.jpg") for i in range(1000)), most=2)
        >>> found.count, [path.name for path in found.some]
        (1000, ['0.jpg', '512.jpg'])
    """
    kept: list[Path] = []
    count, step = 0, 1
    for path in paths:
        if count % step == 0:
            kept.append(path)
            if len(kept) == 2 * most:
                del kept[1::2]
                step *= 2
        count += 1
    size = min(most, len(kept))
    return Survey(count, tuple(kept[i * len(kept) // size] for i in range(size)))
