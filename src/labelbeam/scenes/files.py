"""The scenes as a data set on disk: drawn once into the cache folder, read from there ever after.

Every picture has random numbers of its own, seeded by (seed, split, index); its cues come from them first,
then its labels, then its pixels. So cues and labels need no file (`scene_cues` makes them again), a shorter
split is the beginning of a longer one, and a picture never depends on another. Last in the data path of this
package; what comes out is a `Dataset` like any other.
"""

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import cache_folder
from labelbeam.scenes.canvas import Canvas
from labelbeam.scenes.figures import (
    LOOKS,
    paint_bird,
    paint_boat,
    paint_car,
    paint_cow,
    paint_cup,
    paint_farm,
    paint_kitchen,
    paint_mountain,
    paint_nothing,
    paint_person,
    paint_pot,
    paint_sea,
    paint_street,
    paint_traffic_light,
)
from labelbeam.scenes.world import NOTHING, VOCABULARY, WORLD_VERSION, Cues, sample_cues, sample_labels

# A picture from its cues: where figures stand, so that none hides another, then backdrop and figures. What is
# painted beside the cues (places, colours, clouds, grain) bears on no label.

SIZE = 64
"""Width and height of the embedded data set's pictures, in pixels."""

BACKDROPS: dict[str, Callable[[Canvas], None]] = {
    "sea": paint_sea,
    "street": paint_street,
    "kitchen": paint_kitchen,
    "farm": paint_farm,
    "mountain": paint_mountain,
    NOTHING: paint_nothing,
}


def draw_scene(
    cues: Cues, generator: np.random.Generator, *, size: int = SIZE
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw a picture.

    Args:
        cues: what it shows.
        generator: the picture's own random numbers, for everything that the cues leave open.
        size: width and height in pixels, 32 to 512.

    Returns:
        RGB pixels, 0 to 255. The same cues, generator state and versions of Pillow and NumPy give the same.

    Raises:
        InputError: a size out of range.

    Example:
        >>> draw_scene(Cues("sea", "dawn", ("boat",)), np.random.default_rng(0)).shape
        (64, 64, 3)
    """
    if not 32 <= size <= 512:
        raise InputError(f"the size of a scene must be 32 to 512 pixels, given {size}.")
    canvas = Canvas(size, LOOKS[cues.light], generator=generator)
    BACKDROPS[cues.scene](canvas)
    if cues.scene != NOTHING:
        FOREGROUNDS[cues.scene](canvas, cues)
    return canvas.finish(grain=3.0)


def _stage_sea(canvas: Canvas, cues: Cues) -> None:
    _birds(canvas, cues, low=0.13, high=0.34)
    if "boat" in cues.things:
        size = canvas.between(0.30, 0.38)
        x = canvas.between(0.25, 0.45) if canvas.random.random() < 0.5 else canvas.between(0.55, 0.75)
        paint_boat(canvas, x, canvas.between(0.64, 0.70), size=size, sailing="sailing" in cues.things)
    if "person" in cues.things:
        paint_person(canvas, canvas.between(0.12, 0.88), canvas.between(0.94, 0.98), height=0.30)


def _stage_street(canvas: Canvas, cues: Cues) -> None:
    _birds(canvas, cues, low=0.13, high=0.20)
    places = _places(canvas, 3)
    if "person" in cues.things:
        paint_person(canvas, places[0], canvas.between(0.70, 0.73), height=0.32)
    if "car" in cues.things:
        paint_car(canvas, places[1], canvas.between(0.90, 0.95), size=canvas.between(0.36, 0.42))
    if "traffic light" in cues.things:
        paint_traffic_light(canvas, places[2], canvas.between(0.76, 0.80), height=canvas.between(0.52, 0.58))


def _stage_kitchen(canvas: Canvas, cues: Cues) -> None:
    if "person" in cues.things:
        paint_person(canvas, canvas.between(0.34, 0.52), 0.99, height=0.68)
    if "cup" in cues.things:
        paint_cup(
            canvas, canvas.between(0.08, 0.20), canvas.between(0.67, 0.70), size=canvas.between(0.12, 0.15)
        )
    if "cooking" in cues.things:
        paint_pot(canvas, canvas.between(0.78, 0.85), 0.665, size=canvas.between(0.18, 0.22))


def _stage_meadow(canvas: Canvas, cues: Cues) -> None:
    _birds(canvas, cues, low=0.13, high=0.30)
    places = _places(canvas, 2)
    if "person" in cues.things:
        paint_person(canvas, places[0], canvas.between(0.92, 0.97), height=0.36)
    if "cow" in cues.things:
        paint_cow(canvas, places[1], canvas.between(0.86, 0.96), size=canvas.between(0.32, 0.38))


FOREGROUNDS: dict[str, Callable[[Canvas, Cues], None]] = {
    "sea": _stage_sea,
    "street": _stage_street,
    "kitchen": _stage_kitchen,
    "farm": _stage_meadow,
    "mountain": _stage_meadow,
}


def _birds(canvas: Canvas, cues: Cues, *, low: float, high: float) -> None:
    if "bird" not in cues.things:
        return
    places = _places(canvas, 3)
    for x in places[: int(canvas.random.integers(1, 4))]:
        paint_bird(canvas, x, canvas.between(low, high), size=canvas.between(0.19, 0.25))


def _places(canvas: Canvas, count: int) -> list[float]:
    """Distinct places from left to right, in random order."""
    shifts = canvas.random.uniform(-0.05, 0.05, size=count)
    places = (np.arange(count) + 0.5) / count * 0.84 + 0.08 + shifts
    return [float(x) for x in canvas.random.permutation(places)]


SPLITS: dict[str, int] = {"train": 8000, "val": 800, "test": 2000}
"""Number of pictures in each split. A split's position here is part of its pictures' seeds."""

HIDDEN_NOTE = (
    "drawn by labelbeam. Who took a picture (anna, ben, chloe), its occasion (holiday, weekend, workday), its "
    "album and its meal cannot be read off the pixels: they are random, tied to one another, with odds that "
    "follow the light (docs/scenes.md)."
)


def read_scenes(split: str, *, seed: int = 0, count: int | None = None) -> Dataset:
    """Read a split of the embedded data set; the first time, its pictures are drawn into the cache folder.

    Args:
        split: `train`, `val` or `test`.
        seed: of the whole data set, 0 or more; another seed is another data set from the same world.
        count: number of pictures, the first of the split; all (`SPLITS`) where not given.

    Returns:
        The data set: PNG files of 64 x 64 pixels, `00000.png` onwards; every label present or absent.

    Raises:
        InputError: an unknown split, a negative seed, a count out of range, or a cache folder that cannot be
            written to.
    """
    count = _checked_count(split, seed=seed, count=count)
    made = [_start(split, i, seed=seed)[:2] for i in range(count)]
    images = tuple(f"{i:05d}.png" for i in range(count))
    name = f"v{WORLD_VERSION}-seed{seed}-{SIZE}px-{split}-{count}"
    root = cache_folder() / "scenes" / name
    if not _is_whole(root, images):
        try:
            with _folder_written_whole(root, images) as part:
                for i, image in enumerate(images):
                    cues, _, generator = _start(split, i, seed=seed)
                    pixels = draw_scene(cues, generator)
                    Image.fromarray(pixels).save(part / image, compress_level=1)
        except OSError as error:
            raise InputError(
                f"scenes#{split}: the pictures could not be drawn into {root.parent}: "
                f"{error.strerror or error}. They need {count * 12 // 1024 + 1} MB in a folder that can be "
                "written to; make room there, or set LABELBEAM_CACHE to another folder."
            ) from error
    return Dataset(
        spec=f"scenes#{split}",
        root=root,
        images=images,
        vocabulary=VOCABULARY,
        targets=np.array([labels for _, labels in made], dtype=np.int8),
        protocol={"world_version": WORLD_VERSION, "seed": seed},
        notes=(HIDDEN_NOTE,),
    )


def scene_cues(split: str, *, seed: int = 0, count: int | None = None) -> tuple[Cues, ...]:
    """Return the cues of a split's pictures, in the order of `read_scenes`; nothing is drawn or read.

    Args:
        split: `train`, `val` or `test`.
        seed: of the whole data set.
        count: number of pictures; all where not given.

    Returns:
        One `Cues` per picture, for `bayes.true_distribution`.

    Raises:
        InputError: an unknown split, a negative seed, or a count out of range.

    Example:
        >>> len(scene_cues("val")), scene_cues("val", count=3) == scene_cues("val")[:3]
        (800, True)
    """
    count = _checked_count(split, seed=seed, count=count)
    return tuple(_start(split, i, seed=seed)[0] for i in range(count))


def _start(split: str, index: int, *, seed: int) -> tuple[Cues, np.ndarray, np.random.Generator]:
    """A picture's cues and labels, and its random numbers as they stand before it is drawn."""
    generator = np.random.default_rng([seed, list(SPLITS).index(split), index])
    cues = sample_cues(generator)
    return cues, sample_labels(cues, generator), generator


def _checked_count(split: str, *, seed: int, count: int | None) -> int:
    """The number of pictures to read, once everything that was asked for is in order."""
    if split not in SPLITS:
        raise unknown_name("split of scenes", split, SPLITS)
    if seed < 0:
        raise InputError(f"the seed of scenes must be 0 or more, given {seed}.")
    if count is None:
        return SPLITS[split]
    if not 1 <= count <= 99_999:
        raise InputError(f"the number of scenes must be 1 to 99999, given {count}.")
    return count


def _is_whole(root: Path, images: tuple[str, ...]) -> bool:
    """Whether the folder holds every picture: somebody may have emptied it by hand."""
    return root.is_dir() and {file.name for file in root.iterdir()} >= set(images)


@contextmanager
def _folder_written_whole(root: Path, images: tuple[str, ...]) -> Iterator[Path]:
    """Yield a hidden folder that becomes `root` when the block ends; when it fails nothing is left."""
    root.parent.mkdir(parents=True, exist_ok=True)
    part = root.with_name(f".{root.name}.{secrets.token_hex(4)}.part")
    part.mkdir()
    try:
        yield part
        if root.exists() and not _is_whole(root, images):
            broken = part.with_suffix(".broken")
            root.rename(broken)
            shutil.rmtree(broken)
        try:
            part.rename(root)
        except OSError:
            # Another process was faster. Its pictures are the same, byte for byte.
            if not _is_whole(root, images):
                raise
            shutil.rmtree(part)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
