"""Command-line choices laid over a run's own: how sets are decided, how label models are searched."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelbeam.answers.decision import Decision
from labelbeam.answers.search import Search
from labelbeam.data.options import OF_LABELS, ReadOptions
from labelbeam.errors import InputError
from labelbeam.joints.config import RunConfig, parse_setting
from labelbeam.joints.plain_values import from_plain
from labelbeam.joints.spec import FORMATS, parse_spec

LATER = ("search", "decision")
"""Parts of a configuration that may change after training."""

JUDGED = frozenset({"difficult", "keep_unlabelled", "aliases", "deny", "keep_only", "implications"})
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
        config = from_plain(RunConfig, values, base=config, source=f"--set {text}")
    return config


def decision_from(
    config: RunConfig,
    *,
    decide: str | None,
    threshold: float | None,
    tuned_for: str | None = None,
    abstain: float | None = None,
) -> Decision:
    """Return the run's decision with what the user said.

    Raises:
        InputError: an unknown rule, a threshold outside [0, 1], or two things that exclude each other.
    """
    own = config.decision
    for option, value in (("--threshold", threshold), ("--tuned-for", tuned_for)):
        if value is not None and decide not in (None, "threshold"):
            raise InputError(f"{option} {value} has no use with --decide {decide}. Leave one of them out.")
    if threshold is not None and tuned_for is not None:
        raise InputError(
            f"--threshold {threshold} and --tuned-for {tuned_for} both say where thresholds come from. Leave one out."
        )
    if decide is not None or threshold is not None:
        own = replace(own, tuned_for=None)
    chosen = decide or ("threshold" if (threshold, tuned_for) != (None, None) else own.rule)
    return replace(
        own,
        rule=chosen,
        threshold=own.threshold if threshold is None else threshold,
        tuned_for=tuned_for or own.tuned_for,
        abstain=own.abstain if abstain is None else abstain,
    )


def reading_of(run: ReadOptions, spec: str, given: Mapping[str, Any]) -> ReadOptions:
    """Return how labelled images are read that a run is judged on: as it was trained, where that can be.

    What changes labels is taken over from the run (difficult objects, images without labels, aliases, denied
    labels, implications); how a file is laid out is not, nor a file of names that is no longer there.

    Args:
        run: the options that the run's training data were read with.
        spec: what is to be read.
        given: what the user said, which wins.

    Raises:
        InputError: a spec without a known format, or values that are not allowed.
    """
    known = {*FORMATS[parse_spec(spec).format].options, *OF_LABELS}
    own = {name: getattr(run, name) for name in run.changed() if name in JUDGED and name in known}
    own = {name: value for name, value in own.items() if not isinstance(value, Path) or value.is_file()}
    return ReadOptions(**{**own, **given})


def search_from(config: RunConfig, *, method: str | None, beam: int | None) -> Search:
    """Return the run's search with what the user said.

    Raises:
        InputError: an unknown method, a beam width for another method than beam search, or any of it for a
            sigmoid head, which is not searched.
    """
    own = config.search
    if config.head.startswith(("sigmoid", "any-subset")) and (method, beam) != (None, None):
        raise InputError(
            f"--search and --beam are for label models; the head of this run is {config.head!r}, whose most "
            "probable set needs no search. Leave them out."
        )
    if beam is not None and method not in (None, "beam"):
        raise InputError(f"--beam {beam} has no use with --search {method}. Leave one of them out.")
    chosen = method or ("beam" if beam is not None else own.method)
    return replace(own, method=chosen, beam_width=own.beam_width if beam is None else beam)
