"""From image files or a data set to features: read, hash, look up, decode, resize, encode, in bounded memory.

Each thread takes a few files through all of it with one thread of arithmetic: decoding, resizing and the network all
run off the interpreter's lock, no core ever waits at another's barrier, and a machine that is busy with other things
slows down in proportion, where two-threaded arithmetic collapses. A picture that another thread has under way is waited
for, not computed twice.
"""

import itertools
import math
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from jaxtyping import Bool, Float, Float16

from labelbeam.data.dataset import Dataset
from labelbeam.data.feature_rows import FeatureRows
from labelbeam.data.images import MemoryImage, UnreadableImage, image_content, read_rgb
from labelbeam.decoding.search import cores
from labelbeam.encoders.encoder import Encoder, GivenFeatures, accelerators, place_on
from labelbeam.errors import InputError
from labelbeam.features.cache import FeatureCache, image_digest, to_half
from labelbeam.files import cache_folder
from labelbeam.progress import progress_bar


@dataclass(frozen=True)
class ImageFeatures:
    """What became of one image: features, or an error.

    Attributes:
        path: the file, or what an image in memory is called.
        features: float16 [features]; None where there is an error.
        error: why it could not be read; None where there are features.
    """

    path: Path
    features: Float16[np.ndarray, " features"] | None
    error: UnreadableImage | None = None


class Memory(dict[bytes, np.ndarray]):
    """Stands in for a cache on disk: remembers while an extraction lasts, or remembers nothing."""

    def __init__(self, *, remember: bool) -> None:
        super().__init__()
        self._remember = remember

    def put(self, digest: bytes, features: np.ndarray) -> None:
        """Keep the features of an image, or let them go."""
        if self._remember:
            self[digest] = features

    def __enter__(self) -> "Memory":
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()


class BatchWorker:
    """Takes a few images from names, or from memory, to features; called by several threads at once."""

    def __init__(self, encoder: Encoder, store: FeatureCache | Memory) -> None:
        self._encoder = encoder
        self._store = store
        self._lock = threading.Lock()
        self._claimed: dict[bytes, Future[np.ndarray | None]] = {}

    def __call__(self, images: Sequence[Path | MemoryImage]) -> list[ImageFeatures]:
        """Return what became of each image, in the order given.

        Raises:
            InputError: the cache cannot be written, or a feature does not fit half precision.
        """
        paths = [image.path if isinstance(image, MemoryImage) else image for image in images]
        done: dict[int, ImageFeatures] = {}
        waiting: list[tuple[int, bytes, Future[np.ndarray | None]]] = []
        mine: list[tuple[int, bytes, np.ndarray]] = []
        promised: set[bytes] = set()
        try:
            for i, (path, image) in enumerate(zip(paths, images, strict=True)):
                try:
                    held = image if isinstance(image, MemoryImage) else MemoryImage(path, image_content(path))
                    digest = image_digest(held.key())
                    if (found := self._store.get(digest)) is not None:
                        done[i] = ImageFeatures(path, found)
                    elif (theirs := self._claim(digest)) is not None:
                        waiting.append((i, digest, theirs))
                    elif (found := self._store.get(digest)) is not None:
                        # Another thread finished it between the look and the claim.
                        self._release(digest, found)
                        done[i] = ImageFeatures(path, found)
                    else:
                        promised.add(digest)
                        mine.append((i, digest, self._pixels(held)))
                except UnreadableImage as error:
                    done[i] = ImageFeatures(path, None, error)
            for (i, digest, _), features in zip(
                mine, self._encode([pixels for *_, pixels in mine]), strict=True
            ):
                self._store.put(digest, features)
                done[i] = ImageFeatures(paths[i], features)
                promised.discard(digest)
                self._release(digest, features)
        finally:
            for digest in promised:  # nobody must wait for what will not come
                self._release(digest, None)
        for i, _, theirs in waiting:
            features = theirs.result()
            # A copy whose first reader failed is read on its own account, for its own error message.
            done[i] = ImageFeatures(paths[i], features) if features is not None else self([images[i]])[0]
        return [done[i] for i in range(len(images))]

    def _claim(self, digest: bytes) -> "Future[np.ndarray | None] | None":
        """Take on a picture, or return the future of whoever has it already."""
        with self._lock:
            theirs = self._claimed.get(digest)
            if theirs is None:
                self._claimed[digest] = Future()
            return theirs

    def _release(self, digest: bytes, features: np.ndarray | None) -> None:
        with self._lock:
            claim = self._claimed.pop(digest, None)
        if claim is not None:
            claim.set_result(features)

    def _pixels(self, image: MemoryImage) -> np.ndarray:
        """Return uint8 [3 size size], of the very bytes that were hashed."""
        transform = self._encoder.preprocess
        return transform.resized(image.rgb(at_least=transform.enough))

    def _encode(
        self, pictures: list[np.ndarray]
    ) -> Float16[np.ndarray, "images features"] | list[np.ndarray]:
        return to_half(self._encoder.encode(np.stack(pictures))) if pictures else []


MOST_WORKERS = 8
"""Beyond it, workers get more threads of arithmetic each, so that memory does not grow with the cores."""


@dataclass(frozen=True)
class Features:
    """The features of a list of files, row by row.

    Attributes:
        values: float16 [images features]; rows of unreadable files are NaN.
        errors: by row, for the files that could not be read.
    """

    values: Float16[np.ndarray, "images features"]
    errors: dict[int, UnreadableImage]

    @property
    def readable(self) -> Bool[np.ndarray, " images"]:
        """Which rows have features."""
        mask = np.ones(len(self.values), dtype=bool)
        mask[list(self.errors)] = False
        return mask


def extract(
    paths: Sequence[Path | MemoryImage],
    encoder: Encoder,
    *,
    cache: Path | None = None,
    device: str = "cpu",
    batch_size: int = 16,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_error: str = "raise",
    out: Float16[np.ndarray, "images row"] | None = None,
) -> Features:
    """Return the features of image files, each distinct picture computed once.

    Args:
        paths: the files; the same picture may occur more than once, under any names.
        encoder: in whatever mode; it is used as in evaluation, and left as it is.
        cache: folder of feature caches (usually `cache_folder() / "features"`); None to keep nothing.
        device: where the network runs, as torch names it; what runs a graph is its engine's matter.
        batch_size: images a worker takes through the network at a time.
        workers: threads; None for one per core, at most `MOST_WORKERS`.
        progress: called with (files done, files in all) as they are done, in order.
        on_error: "raise" at the first unreadable file, or "keep" and report it in `Features.errors`.
        out: where the rows go, such as a mapped file; None: new memory.

    Returns:
        One row per path, in the order given. A row is the same, to half precision, in whatever batch it was.

    Raises:
        UnreadableImage: a file cannot be read and `on_error` is "raise".
        InputError: the cache cannot be written, a feature does not fit half precision, or a bad option.

    Example:
        >>> from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
        >>> extract([], build_encoder(EncoderConfig("tiny"))).values.shape
        (0, 256)
    """
    if on_error not in ("raise", "keep"):
        raise InputError(f"on_error is {on_error!r}; allowed: 'raise', 'keep'.")
    paths = list(paths)
    values = np.empty((len(paths), encoder.row_size), dtype=np.float16) if out is None else out
    values[:] = np.nan
    errors: dict[int, UnreadableImage] = {}
    several = workers if workers is not None else _usual_workers()
    stream = stream_features(
        paths,
        encoder,
        cache=cache,
        device=device,
        batch_size=max(1, min(batch_size, -(-len(paths) // max(1, several)))),
        workers=workers,
        remember=True,
    )
    for row, image in enumerate(stream):
        if image.error is not None:
            if on_error == "raise":
                stream.close()
                raise image.error
            errors[row] = image.error
        else:
            values[row] = image.features
        if progress is not None:
            progress(row + 1, len(paths))
    return Features(values, errors)


def stream_features(
    paths: Iterable[Path | MemoryImage],
    encoder: Encoder,
    *,
    cache: Path | None = None,
    device: str = "cpu",
    batch_size: int = 16,
    workers: int | None = None,
    remember: bool = False,
) -> Generator[ImageFeatures, None, None]:
    """Yield the features of image files in the order given, however many there are.

    At most `batch_size * 2 * workers` files are under way; with `cache` and `remember` off, memory does not
    grow with their number (a cache's index takes about 200 bytes an image).

    Args:
        paths: the files, or images in memory; taken as they are needed.
        encoder: as in `extract`.
        cache: as in `extract`.
        device: as in `extract`.
        batch_size: as in `extract`.
        workers: as in `extract`.
        remember: keep every feature in memory, so that copies of a picture far apart are computed once
            without a cache too.

    Yields:
        One per path; an unreadable file is one of them, not an exception.

    Raises:
        InputError: the cache cannot be written, a feature does not fit half precision, or a bad option.
    """
    workers = workers if workers is not None else _usual_workers()
    if batch_size < 1 or workers < 1:
        raise InputError(f"batch_size and workers must be at least 1, given {batch_size} and {workers}.")
    store: FeatureCache | Memory = Memory(remember=remember)
    if cache is not None:
        store = FeatureCache(cache, encoder.key, num_features=encoder.row_size)
    worker = BatchWorker(encoder.ready(device), store)
    remaining = iter(paths)
    batches = iter(lambda: list(itertools.islice(remaining, batch_size)), [])
    with store, _single_threaded(workers) as pool:
        under_way: deque[Future[list[ImageFeatures]]] = deque()
        try:
            for batch in batches:
                under_way.append(pool.submit(worker, batch))
                if len(under_way) >= 2 * workers:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def _usual_workers() -> int:
    return min(cores(), MOST_WORKERS)


@contextmanager
def _single_threaded(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool whose threads share the cores for torch's arithmetic, in the network or in resizing.

    The setting is as before afterwards. Without torch there is nothing to set: a graph is made for one thread.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        with ThreadPoolExecutor(workers) as pool:
            yield pool
        return
    before = torch.get_num_threads()
    each = max(1, before // workers)
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(each,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


GRID_LIMIT = 20.0
"""GB of disk that the maps of a data set take at most, unless a user says another number."""


def disk_of_maps(encoder: Encoder, images: int, *, flips: bool, limit: float = GRID_LIMIT) -> str:
    """Return what the maps of some images take on disk, in a sentence; empty where the encoder gives none.

    Raises:
        InputError: they take more than the limit.
    """
    if encoder.map_shape is None:
        return ""
    grid, gigabytes = encoder.map_shape.grid, 2 * encoder.row_size * images * (1 + flips) / 1e9
    what = f"maps of {grid} x {grid} places of {images:,} images{', and of their mirror images,' if flips else ''}"
    if gigabytes > limit:
        raise InputError(
            f"{what} take {gigabytes:,.1f} GB of disk, and the limit is {limit:g}. Take a coarser --grid (half the "
            f"places a side is a quarter of it), fewer images, or --grid-limit {math.ceil(gigabytes)}."
        )
    return f"{what} take {gigabytes:,.2f} GB in the cache, and as much again while they are used."


def _room(shape: tuple[int, ...], *, mapped: bool) -> Float16[np.ndarray, "..."]:
    """Return an array to be filled: in memory, or in a file without a name that goes when the array does."""
    if not mapped or not math.prod(shape):
        return np.empty(shape, dtype=np.float16)
    folder = cache_folder() / "features"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            return np.memmap(file, dtype=np.float16, mode="w+", shape=shape)
    except OSError as error:
        raise InputError(
            f"there is no room for maps in {folder} ({error.strerror}). Make room, set LABELBEAM_CACHE to another "
            "folder, or take a coarser --grid."
        ) from error


def readable_features(
    dataset: Dataset, encoder: Encoder, *, flips: bool, device: str | None = None, limit: float = GRID_LIMIT
) -> tuple[Dataset, Float[np.ndarray, "images views features"], list[str]]:
    """Return the features of every image that can be read.

    Args:
        dataset: the images, or vectors in place of them, which are returned as they are.
        encoder: frozen; its features are cached under its weights, its transform and each image's content.
        flips: whether there is a second view, of the mirrored image.
        device: where the encoder runs; None: the best there is (`encoders.encoder`).
        limit: most GB of disk for maps, where the encoder gives them; they are mapped, not held in memory.

    Returns:
        The data set without unreadable images, half-precision [images views row] (vectors as they are), and
        sentences about what was left out.

    Raises:
        InputError: no image at all can be read, the cache cannot be written, vectors that are not the encoder's, or
            maps beyond the limit.
    """
    if dataset.features is not None:
        return dataset, accepted_rows(dataset, encoder)[:][:, None], []
    place = place_on(accelerators())
    encoders = [encoder]
    if flips:
        mirrored = replace(encoder.preprocess, horizontal_flip=not encoder.preprocess.horizontal_flip)
        encoders.append(replace(encoder, preprocess=mirrored))  # type: ignore[type-var]  # every encoder is one
    disk_of_maps(encoder, len(dataset), flips=flips, limit=limit)
    mapped = encoder.map_shape is not None
    values = _room((len(dataset), len(encoders), encoder.row_size), mapped=mapped)
    errors: dict[int, UnreadableImage] = {}
    for number, view in enumerate(encoders):
        with progress_bar(f"features of {dataset.spec}", len(dataset)) as advance:
            found = extract(
                dataset.paths,
                view,
                cache=cache_folder() / "features",
                device=device or place.device,
                batch_size=place.batch_size,
                progress=lambda done, _, advance=advance: advance(1),  # type: ignore[misc]
                on_error="keep",
                out=values[:, number],
            )
        errors |= found.errors
    kept, notes = _without(dataset, errors)
    if not errors:
        return dataset, values, notes
    whole = _room((len(kept), *values.shape[1:]), mapped=mapped)
    for row, old in enumerate(row for row in range(len(dataset)) if row not in errors):
        whole[row] = values[old]
    return kept, whole, notes


def accepted_rows(dataset: Dataset, encoder: Encoder) -> FeatureRows:
    """Return the features that came with a data set, where they are what an encoder's run reads.

    Args:
        dataset: with features in place of pictures.
        encoder: of the run; one that reads pictures takes vectors of as many numbers, on the user's word.

    Raises:
        InputError: features of another number, kind or name.
    """
    if dataset.features is None:
        raise TypeError(f"{dataset.spec} has no features")
    wanted = encoder if isinstance(encoder, GivenFeatures) else GivenFeatures(encoder.row_size)
    return wanted.accept(dataset.features, dataset.spec)


def readable_images(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """Decode every image once, so that one broken file does not end a long training from pixels.

    Raises:
        InputError: no image at all can be read.
    """
    dataset.refuse_without_pictures("training an encoder (--finetune)")
    errors: dict[int, UnreadableImage] = {}
    with (
        progress_bar(f"looking through {dataset.spec}", len(dataset)) as advance,
        ThreadPoolExecutor(max_workers=2) as pool,
    ):
        for row, error in enumerate(pool.map(_problem, dataset.paths)):
            if error is not None:
                errors[row] = error
            advance(1)
    return _without(dataset, errors)


def _problem(path: Path) -> UnreadableImage | None:
    try:
        read_rgb(path, at_least=(1, 1))
    except UnreadableImage as error:
        return error
    return None


def _without(dataset: Dataset, errors: Mapping[int, UnreadableImage]) -> tuple[Dataset, list[str]]:
    """Return the data set without the rows that have an error, and sentences about them."""
    if not errors:
        return dataset, []
    if len(errors) == len(dataset):
        raise InputError(f"{dataset.spec}: no image can be read; the first: {errors[0]}")
    notes = [f"{len(errors)} of {len(dataset)} images of {dataset.spec} cannot be read and are left out:"]
    notes += [f"  {errors[row]}" for row in sorted(errors)[:5]]
    return dataset.subset(row for row in range(len(dataset)) if row not in errors), notes
