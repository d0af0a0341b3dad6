"""Where a job's predictions come from: image files, stored vectors or both, on this machine or a Ray cluster.

Also the engine that runs the encoder. A worker of a cluster reads and answers the same groups of images that one
process would, so what it says does not depend on how many there are; one that dies is started anew.
Workers find the run and the images under the same absolute paths.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, tee
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.image_bytes import image_mark
from labelbeam.decoding.search import Search
from labelbeam.encoders.encoder import Encoder, best_device
from labelbeam.encoders.engines import WORTH_A_GRAPH, with_engine
from labelbeam.encoders.graph_encoder import provider_name
from labelbeam.errors import InputError
from labelbeam.formats.vectors import GivenVectors
from labelbeam.labels.implications import Implications
from labelbeam.labels.rules import Rules
from labelbeam.predict.decision import Decision
from labelbeam.predict.prediction import Prediction
from labelbeam.runs.tagger import ANSWERED_TOGETHER, Tagger
from labelbeam.tagging.journal import NOT_THERE, recorded
from labelbeam.tagging.vector_store import VectorStore

SAMPLED = 256
"""Photographs of a job that int8 is calibrated on, and that judge whether bfloat16 may be taken."""


def with_job_engine(
    tagger: Tagger,
    *,
    engine: str | None,
    precision: str | None,
    photographs: Sequence[Path],
    images: int | None,
    exactly: bool,
) -> tuple[Tagger, str]:
    """Return the tagger with another engine for its encoder, and a sentence for the user; empty: nothing to say.

    Args:
        tagger: of a run as trained, or exported.
        engine: as the user named it; None: "auto".
        precision: as the user named it; None: "auto".
        photographs: some of the job's, for calibration and for the judge.
        images: how many the job has; None: not counted.
        exactly: whether only float32 is taken where nothing is asked for: what is stored is used again.

    Returns:
        Where nothing is asked for: the tagger itself for small jobs, on an accelerator, and where a graph of this
        encoder cannot be made.

    Raises:
        InputError: what is asked for cannot be had here.
    """
    asked = engine is not None or precision is not None
    if not asked and (images is None or images < WORTH_A_GRAPH or best_device() != "cpu"):
        return tagger, ""

    def judge(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answers = tagger.answer(features)
        thresholds = tagger.thresholds
        return answers.scores, tagger.run.config.decision.decide(answers, thresholds)

    before = tagger.run.encoder
    try:
        encoder = with_engine(
            before,
            engine=engine or "auto",
            precision=precision or "auto",
            photographs=photographs,
            judge=None if exactly else judge,
            images=images,
        )
    except InputError as error:
        if asked:
            raise
        return tagger, f"the encoder stays with PyTorch: {error}"
    if type(encoder) is type(before) and encoder.precision == before.precision and not asked:
        return tagger, ""
    found = Tagger(replace(tagger.run, encoder=encoder))
    kind = encoder.precision.partition(":")[0]
    judged = kind == "bfloat16" and precision is None
    engine_of = getattr(encoder, "engine", "torch")
    where = f" on {provider_name()}" if engine_of == "onnx" else ""
    return found, f"features by {engine_of}{where} in {kind}" + (
        f"; of {len(photographs)} of these photographs the answers stay within bounds." if judged else "."
    )


Source = Callable[[Iterable[Path]], Iterator[Prediction]]
"""From images to predictions, in order."""

LOOKED_UP = 4 * ANSWERED_TOGETHER
"""Images that are looked up in a store in one go."""


def open_store(folder: Path, encoder: Encoder, *, write: bool) -> VectorStore:
    """Open a store for what an encoder says of images.

    Args:
        write: whether vectors will be added.

    Raises:
        InputError: as `VectorStore`.
    """
    return VectorStore(folder, encoder.key, num_features=encoder.row_size, write=write)


Kept = Mapping[str, np.ndarray]
"""Features that a job has already, by the name of the image."""
NONE_KEPT: Kept = {}


def kept_or_read(tagger: Tagger, kept: Kept, paths: Iterable[Path]) -> Iterator[tuple[str, np.ndarray | str]]:
    """Yield images with their features: those that are kept, or read now."""
    ahead, coming = tee(paths)
    reading = tagger.features(path for path in ahead if str(path) not in kept)
    for path in coming:
        yield (str(path), kept[str(path)]) if str(path) in kept else next(reading)


def stored_or_read(
    tagger: Tagger, store: VectorStore, paths: Iterable[Path], kept: Kept
) -> Iterator[tuple[str, np.ndarray | str]]:
    """Yield images with their vectors: from the store where the file is as it was, else kept or read, and put there."""
    coming = iter(paths)
    while block := list(islice(coming, LOOKED_UP)):
        marks = [image_mark(path) for path in block]
        # What was not there is looked for again: nothing about it would show a change.
        found = [
            None if mark == NOT_THERE else store.find(str(path), mark)
            for path, mark in zip(block, marks, strict=True)
        ]
        missing = (path for path, stored in zip(block, found, strict=True) if stored is None)
        reading = kept_or_read(tagger, kept, missing)
        for path, mark, stored in zip(block, marks, found, strict=True):
            if stored is None:
                _, vector = next(reading)
                store.add(str(path), mark, vector)
                yield str(path), vector
            else:
                yield str(path), stored


@dataclass(frozen=True)
class Choices:
    """What is asked of every prediction of a job.

    Attributes:
        all_scores: whether predictions hold every label's score.
        implications: what decided labels imply is decided too; None: nothing.
    """

    all_scores: bool = False
    implications: Implications | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return them as plain values: lines made with others are not continued."""
        implied = None
        if self.implications is not None:
            implied = {name: list(more) for name, more in self.implications.implied.items()}
        return {"all_scores": self.all_scores, "implications": implied}


def from_images(tagger: Tagger, choices: Choices, kept: Kept = NONE_KEPT) -> Source:
    """Return a source that reads every image, but those whose features are kept."""
    return lambda paths: tagger.tag_features(
        kept_or_read(tagger, kept, paths), all_scores=choices.all_scores, implications=choices.implications
    )


def through_store(
    tagger: Tagger,
    store: VectorStore | GivenVectors,
    choices: Choices,
    *,
    read: bool,
    kept: Kept = NONE_KEPT,
) -> Source:
    """Return a source that answers from stored vectors.

    Args:
        store: of its encoder, or the rows of a file.
        read: whether images that are not stored, or have changed, are read; otherwise no file is looked at.
        kept: features of some of these.
    """

    def predictions(paths: Iterable[Path]) -> Iterator[Prediction]:
        adding = store if read and isinstance(store, VectorStore) else None
        items = store.items(paths) if adding is None else stored_or_read(tagger, adding, paths, kept)
        for one in tagger.tag_features(
            items, all_scores=choices.all_scores, implications=choices.implications
        ):
            if adding is not None:
                adding.flush()  # what has a line has its vector
            yield one

    return predictions


def on_cluster(run: Path, tagger: Tagger, choices: Choices) -> Source:
    """Return a source whose work is done by a Ray cluster."""
    config = tagger.run.config
    return Workers(
        run, config.decision, config.search, choices.all_scores, choices.implications, tagger.run.rules
    ).predictions


OBJECT_STORE = 256 << 20
"""Bytes of shared memory of a local cluster: names go in and lines come out, no pixels."""


@dataclass(frozen=True)
class Workers:
    """What every worker does.

    Attributes:
        run: the run directory.
        decision: how sets are decided.
        search: how label models are searched.
        all_scores: whether predictions hold every label's score.
        implications: what decided labels imply is decided too.
        rules: what label sets must keep.
    """

    run: Path
    decision: Decision
    search: Search
    all_scores: bool = False
    implications: Implications | None = None
    rules: Rules | None = None

    def predictions(self, paths: Iterable[Path]) -> Iterator[Prediction]:
        """Yield the predictions of images, in order.

        All names are handed to the cluster at the start: about 100 bytes an image here, nothing else grows.

        Raises:
            InputError: Ray is not installed.
        """
        coming = iter(paths)
        groups = []
        while names := [os.fsencode(path) for path in islice(coming, ANSWERED_TOGETHER)]:
            groups.append({"names": names})
        if not groups:
            return
        with _cluster() as ray:
            work = Workers(
                self.run.absolute(),
                self.decision,
                self.search,
                self.all_scores,
                self.implications,
                self.rules,
            )
            processes = max(1, int(ray.cluster_resources().get("CPU", 1)))
            lines = ray.data.from_items(groups, override_num_blocks=len(groups)).map(
                _Worker,
                fn_constructor_args=(work, Path.cwd()),
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(processes, len(groups))),
                num_cpus=1,
            )
            for group in lines.iter_rows():
                for line in group["lines"]:
                    yield recorded(line)


class _Worker:
    """A tagger in a process of the cluster: names of a group of images in, lines out."""

    def __init__(self, work: Workers, folder: Path) -> None:
        self._work, self._folder = work, folder
        self._tagger = Tagger.load(work.run, decision=work.decision, search=work.search, rules=work.rules)

    def __call__(self, row: dict[str, Any]) -> dict[str, list[str]]:
        names = [os.fsdecode(name) for name in row["names"]]
        read = self._tagger.features(self._folder / name for name in names)
        items = ((name, features) for name, (_, features) in zip(names, read, strict=True))
        predictions = self._tagger.tag_features(
            items, all_scores=self._work.all_scores, implications=self._work.implications
        )
        # A name that is not UTF-8 becomes \udcXX, which is what JSON calls it too.
        return {"lines": [one.to_json().encode("utf-8", "backslashreplace").decode() for one in predictions]}


@contextmanager
def _cluster() -> Iterator[Any]:
    """Yield Ray, connected to the cluster that RAY_ADDRESS names, or to one of this machine while the block runs."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What fails comes as an exception; without this, every call warns of what Ray Data does by itself.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("--cluster ray needs one more package: pip install 'labelbeam[ray]'.") from None
    ours = not ray.is_initialized()
    if ours:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if os.environ.get("RAY_ADDRESS"):
            ray.init(**quiet)
        else:
            ray.init(include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
    for name in ("ray.data", "ray"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()
