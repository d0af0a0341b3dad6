"""Command-line choices laid over a run's own: how sets are decided, label models searched, scores calibrated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.data.dataset import OF_LABELS, ReadOptions
from labelbeam.decoding.search import Search
from labelbeam.encoders.encoder import GivenFeatures
from labelbeam.errors import InputError
from labelbeam.formats.registry import FORMATS, parse_spec
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.registry import HEADS, Head, require
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.predict.answers import Answers
from labelbeam.predict.calibration import RunCalibration, fit_run_calibration
from labelbeam.predict.decision import Decision, list_sets
from labelbeam.predict.promises import Promises, Sample
from labelbeam.predict.set_lists import mass_before
from labelbeam.runs.build import build_answerer
from labelbeam.runs.config import RunConfig, from_plain, parse_setting, refuse_unused
from labelbeam.runs.run_directory import Run

# Calibration of a run: fitted on validation images when training ends, applied to whatever it answers then.
#
# Joins a run's head, its answers and `predict.calibration`. What a user changes after training may make
# the calibration void: then it is left out, with a note.

LEAST_SCORE = 1e-3
"""Scores are compared no closer to 0 and 1 than this: samples have a standard error ten times as great."""

MOST_TRAINING_IMAGES = 2000
"""Training images whose features say where images like them lie; more change little."""


def calibrate(
    run: Run,
    features: Float[np.ndarray, "images features"],
    targets: Int8[np.ndarray, "images labels"],
    training_features: Float[np.ndarray, "training features"],
) -> RunCalibration:
    """Fit score maps, thresholds and fitness.

    Args:
        run: the trained model, not calibrated.
        features: of validation images.
        targets: their truth, columns in the run's label order.
        training_features: of some training images.

    Raises:
        InputError: no image.
    """
    answers = build_answerer(run.head, run.config).answer(features)
    return fit_run_calibration(
        answers,
        targets,
        score=score_name(run.config),
        features=run.head.scaling(features),
        training_features=run.head.scaling(training_features),
        seed=run.config.seed,
    )


def score_name(config: RunConfig) -> str:
    """Return which number per label a run's scores are; heads that are not searched have but one."""
    return config.search.score if HEADS[config.head].searches else "marginal"


def with_quick_scores(
    run: Run, features: Float[np.ndarray, "images features"], targets: Int8[np.ndarray, "images labels"]
) -> tuple[Run, str]:
    """Return a run whose scores are each label's own probability where they are as good, and what was found.

    A label's own probability is a matrix product, its marginal over sets a search and samples. They are as good where
    the labels' log loss on validation images is not above that of the marginals by more than its standard error.

    Args:
        run: the trained model, not calibrated.
        features: of validation images.
        targets: their truth, columns in the run's label order.
    """
    if not HEADS[run.config.head].searches or not run.config.label_model.per_label or len(features) < 2:
        return run, ""
    losses = {}
    for score in ("per-label", "marginal"):
        config = replace(run.config, search=replace(run.config.search, score=score))
        scores = build_answerer(run.head, config).answer(features).scores.astype(np.float64)
        p = np.clip(scores, LEAST_SCORE, 1 - LEAST_SCORE)
        nats = -np.log(np.where(targets == PRESENT, p, 1 - p))
        losses[score] = (nats * (targets != UNKNOWN)).sum(axis=1)
    apart = losses["per-label"] - losses["marginal"]
    error = float(apart.std(ddof=1)) / math.sqrt(len(apart))
    found = (
        f"on {len(apart):,} validation images their log loss is {losses['per-label'].mean():.3f} nats, that of the "
        f"sets' marginals {losses['marginal'].mean():.3f} (standard error of the difference {error:.3f})"
    )
    if apart.mean() > error:
        return run, f"scores are marginals over sets, not each label's own probability: {found}."
    config = replace(run.config, search=replace(run.config.search, score="per-label"))
    return replace(run, config=config), (
        f"scores are each label's own probability: {found}. With bounds and standard errors: "
        "--set search.score=marginal."
    )


LEAST_SHARE = 0.03
"""A share of images that show nothing counts from here on where it is found unasked: below, it may be none
(research/nothing.md)."""


def may_be_none(share: float, count: int) -> bool:
    """Tell whether no image may show nothing, by the share that so many images say.

    Args:
        share: as `Nothing.share_in` finds it, which adds an image that shows nothing and one that does not.
    """
    return (share * (count + 2) - 1) / count < LEAST_SHARE


def with_estimate(
    run: Run, features: Float[np.ndarray, "images features"], targets: Int8[np.ndarray, "images labels"]
) -> tuple[Run, str]:
    """Return a run that finds from images how many show none of the labels, if it can, and what was found.

    It can where it finds next to none among validation images that all show something: what cannot tell labels from
    each other takes most images for such. Measured for photographs (research/nothing.md), not for vectors.

    Args:
        run: the trained model.
        features: of validation images.
        targets: their truth, columns in the run's label order.
    """
    shown = (targets == PRESENT).any(axis=1)
    own = HEADS[run.config.head].searches and cast(TrainedLabelModel, run.head).nothing is not None
    if (
        not own
        or run.config.search.nothing is not None
        or isinstance(run.encoder, GivenFeatures)
        or not shown.any()
    ):
        return run, ""
    count = int(shown.sum())
    share = cast(TrainedLabelModel, run.head).share_of_nothing(features[shown])
    found = f"{count:,} validation images all show a label, and by this run a share of {share:.3f} shows none"
    if not may_be_none(share, count):
        return run, (
            f"{found}: it cannot tell such photographs, and hardly expects them. Another share: --nothing 0.2."
        )
    config = replace(run.config, search=replace(run.config.search, estimate_nothing=True))
    return replace(run, config=config), (
        f"{found}: so tag and evaluate find from the photographs themselves how many show none, from 100 on (--nothing "
        "train: as in training)."
    )


def valid_calibration(run: Run) -> tuple[RunCalibration | None, str]:
    """Return the calibration that fits how the run is asked now, and a sentence where it was left out."""
    if run.calibration is None:
        return None, run.lost
    search, score = run.config.search, score_name(run.config)
    if run.rules is not None:
        why = "they are conditioned on the rules, which were not there when the calibration was fitted"
    elif score != run.calibration.score:
        why = f"it was fitted on the score {run.calibration.score!r}, asked is {score!r}"
    elif HEADS[run.config.head].searches and (search.min_labels or search.max_labels is not None):
        why = "the number of labels is forced, which changes the scores"
    elif HEADS[run.config.head].searches and search.nothing is not None:
        why = "the share of images that show nothing is not that of training (--nothing), for which it was fitted"
    else:
        return run.calibration, ""
    return None, f"scores are not calibrated: {why}."


def calibrated(
    calibration: RunCalibration, answers: Answers, head: Head, features: Float[np.ndarray, "images features"]
) -> Answers:
    """Return answers with mapped scores, and how well each image fits."""
    fits = calibration.fitness.fits(answers, head.scaling(features))
    return replace(calibration.scores.apply(answers), fits=fits)


# Promises of a run: its answers for images that neither training nor early stopping saw, beside their truth.

FEWEST_GUIDES = 20
"""Images that say where tests begin; without so many validation images, a third of the calibration images does."""


def with_promises(
    run: Run,
    features: Float[np.ndarray, "images features"],
    targets: Int8[np.ndarray, "images labels"],
    *,
    data: str,
    guide: tuple[np.ndarray, np.ndarray] | None = None,
) -> Run:
    """Return the run with what calibration images prove; it must be calibrated before, where it will be.

    Args:
        features: of calibration images.
        targets: their truth, columns in the run's label order.
        data: where they come from, for people.
        guide: features and truth of other images, such as those of validation, which say where tests begin.

    Raises:
        InputError: too few images for any promise.
    """
    if len(features) < FEWEST_GUIDES:
        raise InputError(
            f"{data} has {len(features)} calibration images; at least {FEWEST_GUIDES} are needed, and some hundreds "
            "for most promises: precision 0.95 takes 59 images even if none has an error. Name more."
        )
    if guide is None or len(guide[0]) < FEWEST_GUIDES:
        order = np.random.default_rng(run.config.seed).permutation(len(features))
        first, rest = order[: len(order) // 3], order[len(order) // 3 :]
        guide, features, targets = (features[first], targets[first]), features[rest], targets[rest]
    sample, other = _sample(run, features, targets), _sample(run, *guide)
    return replace(run, promises=Promises(sample, other, score_name(run.config), _searched(run), data))


def _sample(run: Run, features: np.ndarray, targets: np.ndarray) -> Sample:
    answers, (calibration, _) = build_answerer(run.head, run.config).answer(features), valid_calibration(run)
    if calibration is not None:
        answers = calibrated(calibration, answers, run.head, features)
    nowhere = np.full(len(targets), np.nan)
    return Sample(
        answers.scores,
        targets.astype(np.int8),
        answers.path_sets(),
        answers.log_probs.astype(np.float64),
        nowhere if answers.fits is None else answers.fits,
        mass_before(list_sets(answers), targets),
    )


def _searched(run: Run) -> dict[str, Any]:
    """Return what of a search decides scores and paths, as plain values; heads that are not searched have none."""
    if not HEADS[run.config.head].searches:
        return {}
    return {name: value for name, value in asdict(run.config.search).items() if name != "trie_bytes"}


def valid_promises(run: Run) -> Promises | None:
    """Return the promises that hold for how the run is asked now: as it was when they were proven."""
    promises = run.promises
    if run.rules is not None:  # they were proven without rules
        return None
    if promises is None or promises.score != score_name(run.config):
        return None
    return promises if promises.search == _searched(run) else None


# Command-line choices laid over a run's own: how sets are decided, how label models are searched.

LATER = ("search", "decision")
"""Parts of a configuration that may change after training."""

JUDGED = frozenset({"difficult", "absent", "keep_unlabelled", "aliases", "deny", "keep_only", "implications"})
"""Switches of reading that change what a label is, and so what an evaluation measures."""


def with_settings(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """Return a run's configuration with `--set` texts for its search and its decision.

    Raises:
        InputError: another part of the configuration, an unknown key, or a wrong value.
    """
    for text in settings:
        values = parse_setting(text)
        if not set(values) <= set(LATER):
            raise InputError(
                f"--set {text}: a trained run can change {' and '.join(LATER)} only, e.g. search.score=max-step. "
                "Train again for anything else."
            )
        refuse_unused(config.head, settings=[text])
        config = from_plain(RunConfig, values, base=config, source=f"--set {text}")
    return config


def decision_from(config: RunConfig, given: Mapping[str, Any]) -> Decision:
    """Return the run's decision with the user's options.

    Args:
        given: by name of the option, which is the field of `Decision` (`decide` is its rule); None: not given.

    Raises:
        InputError: an unknown rule, a threshold outside [0, 1], or two things that exclude each other.
    """
    own, given = config.decision, {name: value for name, value in given.items() if value is not None}
    decide, threshold, tuned_for, promise = map(given.get, ("decide", "threshold", "tuned_for", "promise"))
    for option, value in (("--threshold", threshold), ("--tuned-for", tuned_for)):
        if value is not None and decide not in (None, "threshold"):
            raise InputError(f"{option} {value} has no use with --decide {decide}. Leave one of them out.")
    if threshold is not None and tuned_for is not None:
        raise InputError(
            f"--threshold {threshold} and --tuned-for {tuned_for} both say where thresholds come from. Leave one out."
        )
    if promise is not None and (others := {decide, threshold, tuned_for} - {None, "promise"}):
        raise InputError(
            f"--promise {promise} decides labels, and so does {next(iter(others))!r}. Leave one of them out."
        )
    if (decide, threshold, tuned_for, promise) != (None, None, None, None):
        own = replace(own, rule="path", promise=None)
    if decide is not None or threshold is not None or promise is not None:
        own = replace(own, tuned_for=None)
    rule = decide or ("threshold" if (threshold, tuned_for) != (None, None) else own.rule)
    if promise is not None:
        rule = "promise"
    return replace(own, rule=rule, **{name: value for name, value in given.items() if name != "decide"})


def reading_of(run: ReadOptions, spec: str, given: Mapping[str, Any]) -> ReadOptions:
    """Return how labelled images are read that a run is judged on: as it was trained, where that can be.

    What changes labels is taken over from the run (difficult objects, images without labels, aliases, denied
    labels, implications); how a file is laid out is not, nor a file of names that is no longer there.

    Args:
        run: the options that the run's training data were read with.
        spec: what is to be read.
        given: the user's options, which win.

    Raises:
        InputError: a spec without a known format, or values that are not allowed.
    """
    supported = {*FORMATS[parse_spec(spec).format].options, *OF_LABELS}
    own = {name: getattr(run, name) for name in run.changed() if name in JUDGED and name in supported}
    own = {name: value for name, value in own.items() if not isinstance(value, Path) or value.is_file()}
    return ReadOptions(**{**own, **given})


def search_from(
    config: RunConfig, *, method: str | None, beam: int | None, nothing: float | None = None
) -> Search:
    """Return the run's search with the user's options.

    Raises:
        InputError: an unknown method, a beam width for another method than beam search, a share of images that show
            nothing outside (0, 1), or any of it for a head that is not searched.
    """
    own = config.search
    for option, value in (("--search", method), ("--beam", beam), ("--nothing", nothing)):
        if value is not None:
            require(config.head, "searches", f"{option} {value}")
    if beam is not None and method not in (None, "beam"):
        raise InputError(f"--beam {beam} has no use with --search {method}. Leave one of them out.")
    chosen = method or ("beam" if beam is not None else own.method)
    nothing = own.nothing if nothing is None else nothing
    width = own.beam_width if beam is None else beam
    return replace(own, method=chosen, beam_width=width, nothing=nothing)
