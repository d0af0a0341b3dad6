"""The tagger: a run, or several as one, in Python. Images in, predictions out; the command line only calls it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from labelbeam.data.images import image_of, images_of, is_image
from labelbeam.decoding.search import Search
from labelbeam.encoders.encoder import best_device
from labelbeam.errors import InputError
from labelbeam.features.extract import ImageFeatures, extract, stream_features
from labelbeam.heads.label_model import NO_NOTHING, TrainedLabelModel
from labelbeam.heads.registry import require
from labelbeam.labels.implications import Implications
from labelbeam.labels.rules import Rules, as_rules
from labelbeam.predict.answers import Answers, EnsembleAnswerer, Member
from labelbeam.predict.decision import Decision
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.predict.prediction import Prediction, Predictions, predictions_of
from labelbeam.predict.thresholds import TunedThresholds
from labelbeam.runs.build import build_answerer
from labelbeam.runs.choices import (
    calibrated,
    decision_from,
    may_be_none,
    search_from,
    valid_calibration,
    valid_promises,
    with_settings,
)
from labelbeam.runs.run_directory import Run, load_run
from labelbeam.runs.suggestions import Suggestions, check_features, suggest

# The tagger: a run in Python. Images in, predictions out; the command line only calls it.

ANSWERED_TOGETHER = 256
"""Images decoded and answered in one go: enough for the searches, little enough to write as one goes."""


class Tagger:
    """Tags images with a trained run, whatever its head.

    Example:
        tagger = Tagger.load("runs/voc")
        for prediction in tagger.tag(["a.jpg", "b.jpg"]):
            print(prediction.image, [one.label for one in prediction.labels])
    """

    def __init__(
        self,
        run: Run,
        *,
        decision: Decision | None = None,
        search: Search | None = None,
        rules: Rules | str | Path | Iterable[str] | None = None,
    ) -> None:
        """Make a tagger of a run in memory.

        Args:
            decision: how sets are decided; None: as the run's configuration says.
            search: how label models are searched; None: as the run's configuration says.
            rules: what label sets must keep (`labels.rules`), their file or lines; None: what the run holds, mostly
                nothing.

        Raises:
            InputError: rules that cannot be read, contradict each other or that the head cannot be conditioned on.
        """
        config = replace(
            run.config, decision=decision or run.config.decision, search=search or run.config.search
        )
        given = run.rules if rules is None else as_rules(rules, run.vocabulary)
        self.run = replace(run, config=config, rules=given)
        self.answerer = build_answerer(run.head, config, self.run.rules)
        self.calibration, self.note = valid_calibration(self.run)
        self.promises = valid_promises(self.run)
        self.promised = config.decision.promise_lines(self.promises, self.thresholds, self.labels)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        decision: Decision | None = None,
        search: Search | None = None,
        rules: Rules | str | Path | Iterable[str] | None = None,
    ) -> "Tagger":
        """Load a run directory.

        Args:
            folder: what `labelbeam train --out` or `labelbeam export --out` wrote.
            decision: how sets are decided; None: as the run says.
            search: how label models are searched; None: as the run says.
            rules: what label sets must keep, their file or lines; None: what the run holds, mostly nothing.

        Raises:
            InputError: the folder is not a finished run, its files do not fit together, or as the constructor.
        """
        return cls(load_run(Path(folder)), decision=decision, search=search, rules=rules)

    def __repr__(self) -> str:
        decision = self.run.config.decision.name
        return f"Tagger({self.run.summary}, decides by {decision!r})"

    @property
    def thresholds(self) -> TunedThresholds | None:
        """The thresholds that training tuned, where they hold."""
        return self.calibration.thresholds if self.calibration else None

    @property
    def labels(self) -> tuple[str, ...]:
        """The label names, in label order."""
        return self.run.vocabulary.names

    def tag(
        self,
        images: Any,
        *,
        all_scores: bool = False,
        implications: Implications | None = None,
        report: Callable[[int], None] = lambda images: None,
    ) -> Predictions:
        """Tag images, in order, as they come; memory does not grow with their number.

        Args:
            images: one image or an iterable of them: paths, bytes of image files, PIL images, arrays uint8
                [height width 3]. The iterable is read as images are needed.
            all_scores: whether predictions hold every label's score.
            implications: what decided labels imply is decided too.
            report: called with the number of images after each batch.

        Returns:
            An iterator over one prediction per image (`to_pandas()` makes a frame of them); one that cannot be read
            gives a prediction with an `error`.
            Images that have no name are called "image 0", "image 1", … by their place.

        Raises:
            InputError: something that is no image, nor an iterable of images.
        """
        items = self.features(images)
        return Predictions(
            self.tag_features(items, all_scores=all_scores, implications=implications, report=report)
        )

    def features(self, images: Any) -> Iterator[tuple[str, np.ndarray | str]]:
        """Read images, in order, as they come: what `tag_features` takes.

        Args:
            images: one image or an iterable of them, as in `tag`.

        Returns:
            Each image's name with its features float16 [features], or with why it cannot be read.

        Raises:
            InputError: something that is no image, nor an iterable of images.
        """
        stream = stream_features(images_of(images), self.run.encoder, device=best_device())
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
            report: called with the number of images after each batch.

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
                    thresholds=self.thresholds,
                    implications=implications,
                    all_scores=all_scores,
                    nothing=self.run.config.search.nothing,
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
        if self.calibration is not None:
            answers = calibrated(self.calibration, answers, self.run.head, features)
        return replace(answers, promises=self.promises)

    def suggest(
        self,
        image: Any,
        accepted: Iterable[str] = (),
        rejected: Iterable[str] = (),
        count: int = 10,
        mechanism: str | None = None,
    ) -> Suggestions:
        """Suggest labels for one image, conditioned on what a person accepted and rejected.

        Args:
            image: an image, as in `tag`, or its features [features] as the run's encoder gives them (a click then costs
                no encoding).
            accepted: labels that the image has.
            rejected: labels that it has not.
            mechanism: as `runs.suggestions.suggest`.

        Returns:
            Suggestions, best first, with the mechanism that scored them and a note where there is a doubt.

        Raises:
            InputError: the image cannot be read; otherwise as `runs.suggestions.suggest`.
        """
        features = image
        if not isinstance(image, np.ndarray) or is_image(image):
            features = extract([image_of(image, 0)], self.run.encoder).values[0]
        return suggest(
            self.run,
            self.answerer,
            features,
            accepted=accepted,
            rejected=rejected,
            count=count,
            mechanism=mechanism,
        )


def _features_or_reason(item: ImageFeatures) -> np.ndarray | str:
    """Return the features of a file, or why there are none."""
    if item.features is not None:
        return item.features
    return item.error.reason if item.error is not None else "it has no features"


# Runs that answer as one: an ensemble as a tagger. Where models of the same labels and encoder meet.


def load_ensemble(folders: Sequence[Path], *, decision: Decision | None = None) -> Tagger:
    """Load some runs as one tagger: it tags and is evaluated as a single run's; labels in the first run's order.

    Args:
        folders: run directories, at least one.
        decision: how sets are decided; None: as the first run's configuration says.

    Raises:
        InputError: no folder, not finished runs, other labels, or other encoders.
    """
    if not folders:
        raise InputError("an ensemble needs at least one run. Give their folders.")
    runs = [load_run(folder) for folder in folders]
    first, vocabulary = runs[0], runs[0].vocabulary
    for folder, run in zip(folders, runs, strict=True):
        if run.rules is not None:
            raise InputError(
                f"{folder} holds rules; models that answer as one are not conditioned on rules. Leave it out."
            )
        if sorted(run.vocabulary) != sorted(vocabulary):
            raise InputError(
                f"{folder} has other labels than {folders[0]}; an ensemble is of the same labels."
            )
        if run.encoder.source != first.encoder.source:
            raise InputError(
                f"{folder} has another encoder than {folders[0]}, so its features are others. Train both with the "
                "same --encoder or --weights, not finetuned."
            )
    # Each run was calibrated for itself; the mixture's scores are others.
    tagger = Tagger(replace(first, calibration=None, promises=None), decision=decision)
    tagger.answerer = EnsembleAnswerer(
        [
            Member(
                build_answerer(run.head, run.config),
                np.array([run.vocabulary.id_of(one) for one in vocabulary]),
            )
            for run in runs
        ]
    )
    return tagger


# A tagger as a command line asks for it: a run, or several as an ensemble, with other decisions and searches.
#
# Shared by the commands that decide label sets; the options are `cli.options.DECIDE`.

OF_CALIBRATION = ("tuned_for", "abstain", "promise", "unseen", "sets_among")
OF_DECISION = ("decide", *(field.name for field in fields(Decision) if field.name != "rule"))
OF_SEARCH = ("search", "beam", "nothing", "settings")


ESTIMATE, TRAIN = "estimate", "train"
"""What `--nothing` takes beside numbers: the share of images that show nothing as the images say, or as in training."""

LEAST_IMAGES = 100
"""Fewer images say too little of how many show nothing (research/nothing.md); asked for by name, any number will do."""


def asked_tagger(runs: Sequence[Path], asked: Mapping[str, Any], *, may_estimate: bool = False) -> Tagger:
    """Load runs, with what the user asked for laid over their own configuration.

    Args:
        runs: run directories; several answer as one.
        asked: by name of the option, what was given.
        may_estimate: whether the caller goes on with `estimates_nothing` and `nothing_as_seen`, so that the share of
            images that show nothing may be asked for as the images say.

    Raises:
        InputError: not a run; runs that do not fit together; values that are not allowed; a search for an ensemble,
            whose members each have their own, or what a calibration decides, which its members were not measured for.
    """
    several = len(runs) > 1
    if several and (wrong := [name for name in (*OF_SEARCH, *OF_CALIBRATION, "rules") if name in asked]):
        option = {"settings": "--set"}.get(wrong[0], "--" + wrong[0].replace("_", "-"))
        raise InputError(
            f"{option} is for one run: of {len(runs)} that answer as one, each is searched as it was trained, and no "
            "calibration holds. Leave it out, or give one run."
        )
    run = load_run(runs[0])
    config = with_settings(run.config, asked.get("settings", ()))
    decision = decision_from(config, {name: asked.get(name) for name in OF_DECISION})
    if several:
        return load_ensemble(runs, decision=decision)
    search = search_from(
        config, method=asked.get("search"), beam=asked.get("beam"), nothing=_share_of_nothing(run, asked)
    )
    if asked.get("nothing") == TRAIN:
        search = replace(search, nothing=None)
    if asked.get("nothing") == ESTIMATE and not may_estimate:
        raise InputError(NEEDS_IMAGES)
    return Tagger(run, decision=decision, search=search, rules=asked.get("rules"))


NEEDS_IMAGES = (
    f"--nothing {ESTIMATE} finds the share from many images that can be read beforehand: it is for tag (of files) and "
    f"evaluate. Give a number such as 0.2, or {TRAIN}: as in training."
)


def _share_of_nothing(run: Run, asked: Mapping[str, Any]) -> float | None:
    """Return the share of images that show nothing that was given as a number; None: none was.

    Raises:
        InputError: neither a number nor one of the words, or a word for a head whose empty set has no probability of
            its own.
    """
    given = asked.get("nothing")
    if given in (ESTIMATE, TRAIN):
        require(run.config.head, "searches", f"--nothing {given}")
        if cast(TrainedLabelModel, run.head).nothing is None:
            raise InputError(NO_NOTHING)
        return None
    try:
        return None if given is None else float(given)
    except ValueError as error:
        raise InputError(
            f"--nothing {given!r} is no share. Give a number such as 0.2; {ESTIMATE}: as the images say; or {TRAIN}: "
            "as in training."
        ) from error


def estimates_nothing(tagger: Tagger, asked: Mapping[str, Any]) -> bool:
    """Tell whether the share of images that show nothing is found from the images.

    So it is where that was asked for; and where nobody said a share, training found that the run can tell
    (`runs.choices.with_estimate`), and the most probable sets are decided: by thresholds, or under promises, a
    calibration decides, which holds for the training's share only.
    """
    config = tagger.run.config
    if asked.get("nothing") is not None:
        return bool(asked["nothing"] == ESTIMATE)
    return (
        isinstance(tagger.answerer, LabelModelAnswerer)
        and config.search.estimate_nothing
        and config.search.nothing is None
        and config.search.min_labels == 0
        and config.decision.rule == "path"
        and not config.decision.promises_something
        and not config.decision.abstain
    )


def nothing_as_seen(
    tagger: Tagger, features: Float[np.ndarray, "images features"], asked: Mapping[str, Any]
) -> Tagger:
    """Return the tagger for the share of images that show nothing which some of them say; its note says so.

    Args:
        tagger: for which `estimates_nothing` holds.
        features: of some of the images.
        asked: as for `estimates_nothing`: unless it was asked for, too few images, or a share that may be none, change
            nothing.

    Raises:
        InputError: asked for, and there is no image.
    """
    wanted = asked.get("nothing") == ESTIMATE
    if not len(features) or (len(features) < LEAST_IMAGES and not wanted):
        if wanted:
            raise InputError(NEEDS_IMAGES)
        return tagger
    head = cast(TrainedLabelModel, tagger.run.head)
    share = head.share_of_nothing(features)
    if not wanted and may_be_none(share, len(features)):
        return tagger
    off = "" if wanted else f"; --nothing {TRAIN}: as in training, --nothing 0.2: another share"
    return with_nothing(
        tagger,
        share,
        f"judging by {len(features):,} of the images, a share of {share:.3f} shows none of the labels (in training: "
        f"hardly any), and sets are decided accordingly{off}.",
    )


def with_nothing(tagger: Tagger, share: float | None, note: str) -> Tagger:
    """Return a tagger of one run for another share of images that show nothing.

    Args:
        share: in (0, 1); None: as in training.
        note: where it comes from, before what the tagger itself has to say.
    """
    search = replace(tagger.run.config.search, nothing=share)
    found = Tagger(replace(tagger.run, config=replace(tagger.run.config, search=search)))
    found.note = " ".join(line for line in (note, found.note) if line)
    return found
