"""The benchmarks that can be reproduced: where their data are, how they are split, what counts as one protocol.

Knows the names of formats and splits and the official counts; reads nothing itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labelbeam.errors import InputError, unknown_name


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
        title: in full.
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
            split: its name.

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
            labels=26,
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
        InputError: there is none of this name; the nearest is proposed.
    """
    if name not in BENCHMARKS:
        raise unknown_name("benchmark", name, BENCHMARKS)
    return BENCHMARKS[name]
