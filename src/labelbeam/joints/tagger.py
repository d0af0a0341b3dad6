"""The tagger: a run in Python. Images in, predictions out; the command line only calls it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float

from labelbeam.answers.answers import Answers
from labelbeam.answers.decision import Decision
from labelbeam.answers.prediction import Prediction, predictions_of
from labelbeam.answers.search import Search
from labelbeam.errors import InputError
from labelbeam.features.batch_worker import ImageFeatures
from labelbeam.features.extract import extract, stream_features
from labelbeam.joints.build import build_answerer
from labelbeam.joints.calibrating import calibrated, valid_calibration
from labelbeam.joints.device import best_device
from labelbeam.joints.run_directory import Run, load_run
from labelbeam.joints.suggestions import Suggestions, check_features, suggest
from labelbeam.labels.implications import Implications

ANSWERED_TOGETHER = 256
"""Images decoded and answered in one go: enough for the searches, little enough to write as one goes."""


class Tagger:
    """Tags images with a trained run, whatever its head.

    Example:
        tagger = Tagger.load("runs/voc")
        for prediction in tagger.tag(["a.jpg", "b.jpg"]):
            print(prediction.image, [one.label for one in prediction.labels])
    """

    def __init__(self, run: Run, *, decision: Decision | None = None, search: Search | None = None) -> None:
        """Make a tagger of a run in memory.

        Args:
            run: the trained model.
            decision: how sets are decided; None: as the run's configuration says.
            search: how label models are searched; None: as the run's configuration says.
        """
        config = replace(
            run.config, decision=decision or run.config.decision, search=search or run.config.search
        )
        self.run = replace(run, config=config)
        self.answerer = build_answerer(run.head, config)
        self.calibration, self.note = valid_calibration(self.run)

    @classmethod
    def load(
        cls, folder: str | Path, *, decision: Decision | None = None, search: Search | None = None
    ) -> "Tagger":
        """Load a run directory.

        Args:
            folder: what `labelbeam train --out` or `labelbeam export --out` wrote.
            decision: how sets are decided; None: as the run says.
            search: how label models are searched; None: as the run says.

        Raises:
            InputError: the folder is not a finished run, or its files do not fit together.
        """
        return cls(load_run(Path(folder)), decision=decision, search=search)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label names, in label order."""
        return self.run.vocabulary.names

    def tag(
        self,
        paths: Iterable[str | Path],
        *,
        all_scores: bool = False,
        implications: Implications | None = None,
        report: Callable[[int], None] = lambda images: None,
    ) -> Iterator[Prediction]:
        """Tag image files, in order, as they come; memory does not grow with their number.

        Args:
            paths: image files; the iterable is read as images are needed.
            all_scores: whether predictions hold every label's score.
            implications: what decided labels imply is decided too.
            report: told the number of images after each batch.

        Yields:
            One prediction per path. A file that cannot be read gives a prediction with an `error`.
        """
        items = self.features(paths)
        yield from self.tag_features(items, all_scores=all_scores, implications=implications, report=report)

    def features(self, paths: Iterable[str | Path]) -> Iterator[tuple[str, np.ndarray | str]]:
        """Read image files, in order, as they come: what `tag_features` takes.

        Args:
            paths: image files.

        Returns:
            Each path with its features float16 [features], or with why it cannot be read.
        """
        stream = stream_features((Path(path) for path in paths), self.run.encoder, device=best_device())
        return ((str(item.path), _features_or_reason(item)) for item in stream)

    def tag_features(
        self,
        items: Iterable[tuple[str, np.ndarray | str]],
        *,
        all_scores: bool = False,
        implications: Implications | None = None,
        report: Callable[[int], None] = lambda images: None,
    ) -> Iterator[Prediction]:
        """Tag images whose features are there already, in order, as they come.

        What it says of an image is what `tag` says of it at the same place of the same list.

        Args:
            items: for each image its name and its features [features] as the run's encoder gives them, half or
                single precision; or a text instead of features: why there are none.
            all_scores: whether predictions hold every label's score.
            implications: what decided labels imply is decided too.
            report: told the number of images after each batch.

        Yields:
            One prediction per item; one with an `error` where a text came instead of features.

        Raises:
            InputError: features of another number than the run's encoder gives, or not finite.
        """
        remaining = iter(items)
        while batch := list(islice(remaining, ANSWERED_TOGETHER)):
            read = [(name, vector) for name, vector in batch if not isinstance(vector, str)]
            for _, vector in read:
                check_features(self.run, vector)
            answered: Iterator[Prediction] = iter(())
            if read:
                answered = predictions_of(
                    [name for name, _ in read],
                    self.answer(np.stack([vector for _, vector in read])),
                    decision=self.run.config.decision,
                    vocabulary=self.run.vocabulary,
                    thresholds=self.calibration.thresholds if self.calibration else None,
                    implications=implications,
                    all_scores=all_scores,
                )
            for name, values in batch:
                yield Prediction(name, error=values) if isinstance(values, str) else next(answered)
            report(len(batch))

    def answer(self, features: Float[np.ndarray, "images features"]) -> Answers:
        """Answer from features that are there already; scores are calibrated where the run is.

        Args:
            features: what the run's encoder says of images; half or single precision.

        Raises:
            InputError: the head's numbers overflow, as those of a run that was damaged or made up may.
        """
        answers = self.answerer.answer(features)
        if not np.isfinite(answers.scores).all():
            raise InputError("the run's head gives no finite scores. Copy the run again, or train it anew.")
        if self.calibration is None:
            return answers
        return calibrated(self.calibration, answers, self.run.head, features)

    def suggest(
        self,
        image: str | Path | np.ndarray,
        known: Iterable[str] = (),
        rejected: Iterable[str] = (),
        count: int = 10,
        mechanism: str | None = None,
    ) -> Suggestions:
        """Suggest labels for one image, conditioned on what a person said of it.

        Args:
            image: an image file, or its features [features] as the run's encoder gives them (a click then costs no
                encoding).
            known: labels that the image has.
            rejected: labels that it has not.
            count: most suggestions.
            mechanism: as `joints.suggestions.suggest`.

        Returns:
            Suggestions, best first, with the mechanism that scored them and a note where there is a doubt.

        Raises:
            InputError: the image cannot be read; otherwise as `joints.suggestions.suggest`.
        """
        features = (
            image if isinstance(image, np.ndarray) else extract([Path(image)], self.run.encoder).values[0]
        )
        return suggest(
            self.run,
            self.answerer,
            features,
            known=known,
            rejected=rejected,
            count=count,
            mechanism=mechanism,
        )


def _features_or_reason(item: ImageFeatures) -> np.ndarray | str:
    """Return the features of a file, or why there are none."""
    if item.features is not None:
        return item.features
    return item.error.reason if item.error is not None else "it has no features"
