"""The search of one image, to be looked at: its tree, the two paths, every label's score, what a click would change.

Puts together what `analysis.search_tree`, the searches and `joints.suggestions` say of one image. Draws nothing:
`pages.analysis_charts` does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from labelbeam.analysis.search_tree import SearchTree, search_tree
from labelbeam.answers.of_label_model import LabelModelAnswerer
from labelbeam.answers.prediction import ScoredLabel
from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.beam_options import BeamOptions
from labelbeam.decoding.best_first import best_paths
from labelbeam.errors import InputError
from labelbeam.joints.suggestions import suggest
from labelbeam.joints.tagger import Tagger


@dataclass(frozen=True)
class FoundPath:
    """A path that a search found.

    Attributes:
        labels: label ids in path order.
        log_prob: log p(path | image), nats, END included.
        exact: whether it is certified to be the most probable one.
    """

    labels: tuple[int, ...]
    log_prob: float
    exact: bool


@dataclass(frozen=True)
class Click:
    """What accepting a label would do to the scores of the others.

    Attributes:
        label: the label accepted.
        mechanism: what answered.
        changes: (label, score before, score after), the largest change first.
        note: what to know before trusting it; empty: nothing.
    """

    label: str
    mechanism: str
    changes: tuple[tuple[str, float, float], ...]
    note: str = ""


@dataclass(frozen=True)
class VisibleSearch:
    """Everything about the search of one image.

    Attributes:
        names: of the labels.
        tree: prefixes with probabilities.
        exact: the best-first search's path, with its certificate.
        beam: the beam search's path.
        beam_width: its width.
        scores: labels by falling marginal, with bounds and standard errors; before any calibration.
        clicks: for some labels, what accepting them would change; those that change most first.
    """

    names: tuple[str, ...]
    tree: SearchTree
    exact: FoundPath
    beam: FoundPath
    beam_width: int
    scores: tuple[ScoredLabel, ...]
    clicks: tuple[Click, ...]

    @property
    def differ(self) -> bool:
        """Whether the beam missed the path that the exact search found."""
        return self.exact.labels != self.beam.labels

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values: every number of the picture."""
        return {
            "exact": self._path(self.exact),
            "beam": self._path(self.beam) | {"width": self.beam_width, "differs": self.differ},
            "tree": self.tree.to_json(self.names),
            "scores": [one.told() for one in self.scores],
            "clicks": [
                {
                    "label": click.label,
                    "mechanism": click.mechanism,
                    "changes": [
                        {"label": name, "before": round(before, 6), "after": round(after, 6)}
                        for name, before, after in click.changes
                    ],
                    **({"note": click.note} if click.note else {}),
                }
                for click in self.clicks
            ],
        }

    def _path(self, path: FoundPath) -> dict[str, Any]:
        return {
            "labels": [self.names[label] for label in path.labels],
            "log_prob": round(path.log_prob, 6),
            "exact": path.exact,
        }


def visible_search(
    tagger: Tagger,
    features: Float[np.ndarray, " features"],
    *,
    expansions: int = 24,
    least: float = 0.01,
    beam_width: int | None = None,
    scores: int = 12,
    clicks: int = 6,
    changes: int = 5,
) -> VisibleSearch:
    """Search an image and keep what is seen on the way.

    Args:
        tagger: of a run whose head is a label model.
        features: of the image, as the run's encoder gives them.
        expansions: prefixes expanded in the tree; the searches themselves keep the budgets of the run.
        least: least probability of a prefix that is shown.
        beam_width: None: the run's.
        scores: labels listed, best first; each of them is also tried as a click.
        clicks: clicks kept, those that change most.
        changes: labels listed per click.

    Raises:
        InputError: the head is searched by nobody (a sigmoid head), features that do not fit, or numbers out of
            range.
    """
    answerer = tagger.answerer
    if not isinstance(answerer, LabelModelAnswerer):
        raise InputError(
            f"the head of this run is {tagger.run.config.head!r}, which says no labels one after the other: there "
            "is no search to show. Give a run of --head cnn-rnn."
        )
    if min(scores, clicks, changes) < 0:
        raise InputError("scores, clicks and changes must be 0 or more.")
    names, search = tagger.labels, tagger.run.config.search
    rows = answerer.step.image_rows(features[None])
    certified = best_paths(answerer.trie, rows, budget=search.expansions)
    width = beam_width or search.beam_width
    found = beam_search(answerer.trie, rows, BeamOptions(width=width, end=search.end, stop=search.stop))
    exact = FoundPath(certified.path(0), float(certified.log_probs[0]), bool(certified.exact[0]))
    beam = FoundPath(found.best(0), float(found.log_probs[0, 0]), False)
    tree = search_tree(
        answerer.trie, rows[0], expansions=expansions, least=least, shown=(exact.labels, beam.labels)
    )
    answers = answerer.answer(features[None])  # as the tree has them, before any calibration
    every = [
        ScoredLabel(names[i], *(float(column[0, i]) for column in _columns(answers)))
        for i in np.argsort(-answers.scores[0], kind="stable")
    ]
    tried = (
        _clicks(tagger, features, [one.label for one in every[:scores]], changes=changes) if clicks else []
    )
    tried.sort(key=lambda click: -sum(abs(after - before) for _, before, after in click.changes))
    return VisibleSearch(names, tree, exact, beam, width, tuple(every[:scores]), tuple(tried[:clicks]))


def _columns(answers: Any) -> tuple[np.ndarray, ...]:
    return answers.scores, answers.low, answers.high, answers.stderr


def _clicks(
    tagger: Tagger, features: Float[np.ndarray, " features"], labels: list[str], *, changes: int
) -> list[Click]:
    """Return what accepting each label would do; one that the model holds impossible is left out."""
    whole = len(tagger.labels)
    before = suggest(tagger.run, tagger.answerer, features, count=whole)
    was = {one.label: one.score for one in before}
    clicks = []
    for label in labels:
        try:
            after = suggest(
                tagger.run, tagger.answerer, features, known=[label], count=whole, mechanism=before.mechanism
            )
        except InputError:  # probability zero: nobody would click it
            continue
        moved = sorted(after, key=lambda one: (-abs(one.score - was[one.label]), one.label))
        clicks.append(
            Click(
                label,
                after.mechanism,
                tuple((one.label, was[one.label], one.score) for one in moved[:changes]),
                after.note,
            )
        )
    return clicks
