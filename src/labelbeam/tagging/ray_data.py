"""Tagging on a Ray cluster: the images in groups through Ray Data, the same lines in the same order as without.

A worker is a process with a tagger; it reads and answers the same groups of images that one process would, so what it
says does not depend on how many there are. A worker that dies is started anew and its group done again. Workers find
the run and the images under the same absolute paths. Needs the package `ray`, imported when it is asked for.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from labelbeam.decoding.search import Search
from labelbeam.errors import InputError
from labelbeam.labels.implications import Implications
from labelbeam.labels.rules import Rules
from labelbeam.predict.decision import Decision
from labelbeam.predict.prediction import Prediction
from labelbeam.runs.tagger import ANSWERED_TOGETHER, Tagger
from labelbeam.tagging.journal import recorded

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

        Args:
            paths: image files, as the lines are to name them.

        Raises:
            InputError: Ray is not installed.
        """
        groups = [{"names": names} for names in _groups(paths)]
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


def _groups(paths: Iterable[Path]) -> Iterator[list[bytes]]:
    coming = iter(paths)
    while group := [os.fsencode(path) for path in islice(coming, ANSWERED_TOGETHER)]:
        yield group


@contextmanager
def _cluster() -> Iterator[Any]:
    """Yield Ray, connected to the cluster that RAY_ADDRESS names, or to one of this machine that ends with the block.

    Raises:
        InputError: Ray is not installed.
    """
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
