"""What a reproduction will do, before it does it: data, rows, configurations, seeds, runs and their commands."""

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.registry import open_dataset
from labelbeam.paper.rows import IN_THE_TABLE, ROWS, Settings, configurations, row_config, rows_named
from labelbeam.runs.config import RECIPES, RunConfig, configure, to_plain

# The benchmarks: where their data are, how they are split, what counts as one protocol.


@dataclass(frozen=True)
class TruthView:
    """One way to read the same test images' labels.

    Attributes:
        name: stands in results, such as `difficult absent`.
        difficult: of VOC, see `data.dataset.ReadOptions`; None: as it is by default.
        labelled_only: whether images without labels are left out.
    """

    name: str
    difficult: str | None = None
    labelled_only: bool = False


ALL = TruthView("all images")
LABELLED = TruthView("images with a label", labelled_only=True)


@dataclass(frozen=True)
class Benchmark:
    """A data set of the paper, or the drawn scenes.

    Attributes:
        name: as the user gives it.
        format: name of the data set format.
        folder: where it is usually found below --root; empty: --root itself.
        train: official training split.
        test: official test split.
        k: labels per image of the paper's protocol; None: it measures average precision only.
        counts: images of the official splits, train and test.
        labels: how many there are.
        mean_labels: an image, roughly: what label sets are drawn by to measure speed where the data are not.
        views: ways to read the test labels; the first is the main one.
        remarks: what a reader must know of the protocol.
    """

    name: str
    title: str
    format: str
    folder: str
    train: str
    test: str
    k: int | None
    counts: tuple[int, int]
    labels: int
    mean_labels: float
    views: tuple[TruthView, ...]
    remarks: tuple[str, ...] = field(default=())

    @property
    def has_path(self) -> bool:
        """Whether its format reads files of the user's."""
        return self.name != "scenes"

    def spec(self, root: Path | None, split: str) -> str:
        """Return the data set argument of a split.

        Args:
            root: where the user says the data are; the usual folder below it is taken where there is one.

        Raises:
            InputError: no root where one is needed.
        """
        if not self.has_path:
            return f"{self.format}#{split}"
        if root is None:
            raise InputError(
                f"reproduce {self.name} needs --root DIR, the folder that holds {self.folder or self.title}. "
                "See docs/data.md for what has to lie there."
            )
        inside = root / self.folder
        return f"{self.format}:{inside if self.folder and inside.is_dir() else root}#{split}"

    def protocol_options(self, view: TruthView) -> dict[str, Any]:
        """Return the reading options of a view."""
        options: dict[str, Any] = {} if view.difficult is None else {"difficult": view.difficult}
        return options


BENCHMARKS: Mapping[str, Benchmark] = {
    one.name: one
    for one in (
        Benchmark(
            name="voc2007",
            title="PASCAL VOC 2007",
            format="voc2007",
            folder="VOCdevkit",
            train="trainval",
            test="test",
            k=None,
            counts=(5011, 4952),
            labels=20,
            mean_labels=1.5,
            views=tuple(
                TruthView(f"difficult objects {how}", difficult=policy)
                for policy, how in (
                    ("unknown", "ignored (official)"),
                    ("absent", "absent"),
                    ("present", "present"),
                )
            ),
            remarks=(
                "With frozen VGG-16, expect more than the paper's 84.0: linear heads on VGG features are published at "
                "89.7. To be checked by whoever has the data.",
            ),
        ),
        Benchmark(
            name="coco2014",
            title="MS COCO 2014",
            format="coco",
            folder="coco",
            train="train2014",
            test="val2014",
            k=3,
            counts=(82_783, 40_504),
            labels=80,
            mean_labels=2.9,
            views=(ALL, LABELLED),
        ),
        Benchmark(
            name="nuswide81",
            title="NUS-WIDE, 81 concepts",
            format="nuswide81",
            folder="nuswide",
            train="paper-train",
            test="paper-test",
            k=3,
            counts=(150_000, 59_347),
            labels=81,
            mean_labels=2.4,
            views=(ALL, LABELLED),
            remarks=("The paper's list of images was never published: paper-train has its sizes only.",),
        ),
        Benchmark(
            name="nuswide1000",
            title="NUS-WIDE, 1,000 tags",
            format="nuswide1000",
            folder="nuswide",
            train="paper-train",
            test="paper-test",
            k=10,
            counts=(150_000, 59_347),
            labels=1000,
            mean_labels=5.9,
            views=(ALL, LABELLED),
            remarks=("The paper's list of images was never published: paper-train has its sizes only.",),
        ),
        Benchmark(
            name="scenes",
            title="labelbeam's drawn scenes",
            format="scenes",
            folder="",
            train="train",
            test="test",
            k=3,
            counts=(8000, 2000),
            labels=29,
            mean_labels=5.7,
            views=(ALL,),
            remarks=(
                "Not in the paper: drawn pictures whose labels hang together (docs/scenes.md). Where no encoder is "
                "given, one is trained first, end to end with a sigmoid head; expected times leave that out.",
            ),
        ),
    )
}


def benchmark_named(name: str) -> Benchmark:
    """Return a benchmark.

    Raises:
        InputError: there is none of this name (the nearest is proposed), or it is a file of vectors.
    """
    if name not in BENCHMARKS:
        if name.startswith("vectors"):
            raise InputError(
                f"{name!r} holds vectors, and reproduce prints the paper's tables, which are about photographs. "
                "Compare heads on vectors by labelbeam train --data … --head … and labelbeam score --versus."
            )
        raise unknown_name("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]


# One training of a reproduction, and the `labelbeam train` command that makes the same run by itself.


@dataclass(frozen=True)
class PlannedRun:
    """One training.

    Attributes:
        row: a name of `ROWS`.
        configuration: number of the configuration tried; 0 is the fixed recipe.
        settings: the configuration's differences from the fixed recipe.
    """

    row: str
    configuration: int
    seed: int
    settings: Settings
    config: RunConfig
    folder: Path

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    def command(self, recipe: str) -> str:
        """Return the `labelbeam train` that makes the same run.

        Args:
            recipe: named recipe that its configuration starts from.
        """
        own = to_plain(self.config)
        words = [
            "labelbeam",
            "train",
            "--data",
            self.config.data,
            "--out",
            str(self.folder),
            "--head",
            self.config.head,
        ]
        words += ["--recipe", recipe] if recipe != "default" else []
        if self.config.validation is not None:
            words += ["--val", self.config.validation]
        given: dict[str, Any] = {"data": own["data"], "validation": own["validation"]}
        for part, options in (("encoder", ENCODER_FLAGS), ("read", {})):
            changed = dict(_differences(own[part], to_plain(getattr(RunConfig(), part))))
            for key, value in changed.items():
                if key != "name" or value:
                    words += [options.get(key, "--" + key.replace("_", "-")), _as_yaml(value)]
            given[part] = changed
        base = configure(head=self.config.head, recipe=recipe, options=given)
        # Each --set is checked by itself, and what may come next decides which orders and losses fit.
        changes = _differences(own, to_plain(base))
        for key, value in sorted(changes, key=lambda change: change[0] != "label_model.allowed"):
            words += ["--set", f"{key}={_as_yaml(value)}"]
        return shlex.join(words)


ENCODER_FLAGS = {"name": "--encoder"}
"""Options of `labelbeam train` whose name is not their field's."""


def _differences(
    values: Mapping[str, Any], base: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any]]:
    """Return `a.b` and value of all that differs, in order."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += _differences(value, base[key], f"{prefix}{key}.")
        elif value != base[key]:
            found.append((prefix + key, value))
    return found


def _as_yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_yaml, value)) + "]"
    return "null" if value is None else str(value)


# Reads labels, never pixels. `training` carries it out, `expected_time` says how long that takes.

CHOSEN_BY = "mAP_area"
"""What the validation part of the training split chooses configurations by."""


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        root: folder of the data; None for the scenes.
        out: folder of runs and results.
        train_split: training split; None: the official one.
        test_split: test split; None: the official one.
        encoder: the user's settings of the encoder, by field of `EncoderConfig`.
        read: the user's settings of reading, by field of `ReadOptions`.
        recipe: `default` or `paper`.
        rows: names of `ROWS`.
        seeds: trainings of each row.
        configurations: tried for each row.
        bootstrap: draws of the test images for intervals; 0: none; None: as many as their number suggests.

    Raises:
        InputError: fewer than one seed or configuration, an unknown recipe, or a single draw.
    """

    benchmark: Benchmark
    root: Path | None
    out: Path
    train_split: str | None = None
    test_split: str | None = None
    encoder: Mapping[str, Any] = field(default_factory=dict)
    read: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = "default"
    rows: tuple[str, ...] = tuple(IN_THE_TABLE)
    seeds: int = 1
    configurations: int = 1
    bootstrap: int | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "configurations"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} is {getattr(self, name)}; it must be at least 1.")
        if self.recipe not in RECIPES:
            raise unknown_name("--recipe", self.recipe, RECIPES)
        if self.bootstrap is not None and (self.bootstrap == 1 or self.bootstrap < 0):
            raise InputError(
                f"--bootstrap {self.bootstrap}: an interval needs at least 2 draws; 1000 is usual, 0 gives none."
            )

    @property
    def train_spec(self) -> str:
        """The data set argument of the training images."""
        return self.benchmark.spec(self.root, self.train_split or self.benchmark.train)

    @property
    def test_spec(self) -> str:
        """The data set argument of the test images."""
        return self.benchmark.spec(self.root, self.test_split or self.benchmark.test)

    @property
    def on_official_splits(self) -> bool:
        """Whether both splits are those of the benchmark."""
        own = (self.train_split or self.benchmark.train, self.test_split or self.benchmark.test)
        return own == (self.benchmark.train, self.benchmark.test)

    @property
    def trains_encoder(self) -> bool:
        """Whether an encoder is trained first: for the drawn scenes, where the user gives none."""
        return not self.benchmark.has_path and not self.encoder

    def reading(self, **more: Any) -> ReadOptions:
        """Return how data are read.

        Args:
            more: options that win over the user's.

        Raises:
            InputError: a value that is not allowed.
        """
        return ReadOptions(**{**self.read, **more})


def requested(
    benchmark: str, *, root: Path | None, out: Path | None = None, rows: str | None = None, **more: Any
) -> Request:
    """Return a request from what a user wrote.

    Args:
        out: folder of runs and results; None: `runs/reproduce-NAME`.
        rows: as `rows.rows_named` reads them.
        more: other fields of `Request`.

    Raises:
        InputError: an unknown name, or numbers that are not allowed.
    """
    wanted = benchmark_named(benchmark)
    folder = out or Path("runs") / f"reproduce-{benchmark}"
    return Request(wanted, root, folder, rows=rows_named(rows), **more)


def encoder_of(request: Request) -> dict[str, Any]:
    """Return the encoder's options of every row: the user's, the one trained for the scenes, or VGG-16."""
    if request.trains_encoder:
        return {"name": "", "weights": str(encoder_folder(request) / "encoder.safetensors")}
    if request.encoder:
        return {
            name: str(value) if isinstance(value, Path) else value for name, value in request.encoder.items()
        }
    return {"name": "vgg16"}


def encoder_folder(request: Request) -> Path:
    """Return where the scenes' own encoder is trained."""
    return request.out / "runs" / "encoder"


def planned(
    request: Request, row: str, *, configuration: int, settings: Settings, seed: int, training_images: int
) -> PlannedRun:
    """Return one training of a row.

    Raises:
        InputError: options that do not fit together.
    """
    options: dict[str, Any] = {
        "data": request.train_spec,
        "encoder": encoder_of(request),
        "read": {
            name: str(value) if isinstance(value, Path) else value for name, value in request.read.items()
        },
    }
    if not request.benchmark.has_path and request.train_split is None:
        options["validation"] = "scenes#val"
    config = row_config(
        ROWS[row],
        recipe=request.recipe,
        training_images=training_images,
        scenes=not request.benchmark.has_path,
        options=options,
        settings=settings,
        seed=seed,
    )
    folder = request.out / "runs" / f"{row}-c{configuration}-s{seed}"
    return PlannedRun(row, configuration, seed, settings, config, folder)


def tries(request: Request, row: str, *, training_images: int) -> list[PlannedRun]:
    """Return a row's configurations, all of seed 0; the best on validation images is trained with the other seeds."""
    fixed = planned(
        request, row, configuration=0, settings={}, seed=0, training_images=training_images
    ).config
    return [
        planned(request, row, configuration=i, settings=settings, seed=0, training_images=training_images)
        for i, settings in enumerate(configurations(fixed, request.configurations))
    ]


def open_split(request: Request, spec: str, **more: Any) -> Dataset:
    """Read a split as the user wants it read.

    Raises:
        InputError: whatever the format's reader finds wrong.
    """
    return open_dataset(spec, options=request.reading(**more))


def truth_views(request: Request) -> dict[str, Dataset]:
    """Return the test images under every way to read their labels, the main one first.

    Raises:
        InputError: whatever the format's reader finds wrong.
    """
    views: dict[str, Dataset] = {}
    for view in request.benchmark.views:
        options = request.benchmark.protocol_options(view)
        if view is request.benchmark.views[0] and "difficult" in request.read:
            options = {}  # the user's own reading is the main one
        dataset = open_split(request, request.test_spec, **options)
        if view.labelled_only:
            rows = np.flatnonzero((dataset.targets == 1).any(axis=1))
            if len(rows) == len(dataset) or not len(rows):
                continue  # every image has a label: the view would be the main one again
            dataset = dataset.subset(rows)
        views[view.name] = dataset
    return views


def digest_of(dataset: Dataset) -> str:
    """Return a text that is another one for other images or labels."""
    digest = hashlib.sha256("\n".join((*dataset.images, *dataset.vocabulary.names)).encode())
    digest.update(dataset.targets.tobytes())
    return digest.hexdigest()[:16]


def weights_digest(config: RunConfig) -> str:
    """Return a text that is another one for other encoder weights; empty where no file is named."""
    if config.encoder.weights is None or not config.encoder.weights.is_file():
        return ""
    with config.encoder.weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
