"""The search of one image, visible: prefixes considered, the two paths, every label's score, a click's effect."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from labelbeam.charts.charts import element, letters_wide, shortened
from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.best_first import best_paths, check_budget
from labelbeam.decoding.paths import checked_rows
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError
from labelbeam.predict.label_model import label_model_answerer
from labelbeam.predict.prediction import ScoredLabel
from labelbeam.runs.suggestions import suggest
from labelbeam.runs.tagger import Tagger

# Expanded best first, as the exact search expands them.
#
# Source: Wang et al. 2016, Figure 5 (a beam of 2 with END leaves); here the whole tree that decides, and both paths.

NO_PARENT = -1


@dataclass(frozen=True)
class TreeNode:
    """A prefix of labels.

    Attributes:
        prefix: label ids; empty for the root.
        parent: position of the prefix one label shorter, NO_PARENT for the root.
        step: probability of its last label after the labels before it; 1 for the root.
        prob: probability that a path begins with the prefix.
        end: probability of END after it; None where it was not expanded.
        hidden: probability of its children that are not in the tree, of all paths.
    """

    prefix: tuple[int, ...]
    parent: int
    step: float
    prob: float
    end: float | None
    hidden: float

    @property
    def path_prob(self) -> float | None:
        """Probability of the path that is just this prefix and END; None where it was not expanded."""
        return None if self.end is None else self.prob * self.end


@dataclass(frozen=True)
class SearchTree:
    """Prefixes of one image, each after its parent.

    Attributes:
        nodes: the root first; children of a node by falling probability.
        open: probability of all paths that the tree does not finish.
    """

    nodes: tuple[TreeNode, ...]
    open: float

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the tree as plain values; probabilities have six digits behind the point."""
        return {
            "open": round(self.open, 6),
            "nodes": [
                {
                    "prefix": [names[label] for label in node.prefix],
                    "parent": None if node.parent == NO_PARENT else node.parent,
                    "step": round(node.step, 6),
                    "probability": round(node.prob, 6),
                    "end": None if node.end is None else round(node.end, 6),
                    "path_probability": None if node.path_prob is None else round(node.path_prob, 6),
                    "hidden": round(node.hidden, 6),
                }
                for node in self.nodes
            ],
        }


def search_tree(
    trie: PrefixTrie,
    image_row: Float[np.ndarray, " width"],
    *,
    expansions: int = 24,
    least: float = 0.01,
    shown: Sequence[tuple[int, ...]] = (),
) -> SearchTree:
    """Grow the tree of an image's most probable prefixes.

    Args:
        expansions: prefixes expanded, at most; those of `shown` come on top.
        least: prefixes less probable than this are left out (and counted as hidden).
        shown: paths that must be in the tree whatever their probability.

    Raises:
        InputError: a budget below 1, `least` outside [0, 1), a row of another width, or a shown path that the
            model cannot say.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> tree = search_tree(PrefixTrie(TableStep({}, num_labels=2)), np.zeros(3, np.float32))
        >>> [(node.prefix, round(node.prob, 3), round(node.path_prob, 3)) for node in tree.nodes]
        [((), 1.0, 0.333), ((0,), 0.333, 0.167), ((1,), 0.333, 0.333), ((0, 1), 0.167, 0.167)]
    """
    check_budget(expansions)
    checked_rows(trie, image_row[None])
    if not 0 <= least < 1:
        raise InputError(f"least must be at least 0 and below 1, given {least}.")
    wanted = {path[:length] for path in shown for length in range(len(path) + 1)}
    found: dict[tuple[int, ...], TreeNode] = {}
    left = expansions
    heap: list[tuple[float, tuple[int, ...], float]] = [(-1.0, (), 1.0)]
    while heap:
        negative, prefix, step = heapq.heappop(heap)
        parent, prob = NO_PARENT, -negative
        if left <= 0 and prefix not in wanted:
            found[prefix] = TreeNode(prefix, parent, step, prob, None, 0.0)
            continue
        left -= prefix not in wanted
        chances = _chances(trie, image_row, prefix)
        hidden = 0.0
        for label in np.flatnonzero(chances[:-1] > 0).tolist():
            child, mass = (*prefix, label), prob * float(chances[label])
            if mass >= least or child in wanted:
                heapq.heappush(heap, (-mass, child, float(chances[label])))
            else:
                hidden += mass
        found[prefix] = TreeNode(prefix, parent, step, prob, float(chances[-1]), hidden)
    if missing := [path for path in wanted if path not in found]:
        raise InputError(f"the model cannot say {sorted(missing)[0]}; paths hold label ids that it allows.")
    # By depth, so that a parent stands before its children; among siblings the more probable first.
    order = sorted(found, key=lambda prefix: (len(prefix), -found[prefix].prob, prefix))
    place = {prefix: i for i, prefix in enumerate(order)}
    nodes = tuple(
        TreeNode(
            prefix,
            place[prefix[:-1]] if prefix else NO_PARENT,
            *(found[prefix].step, found[prefix].prob, found[prefix].end, found[prefix].hidden),
        )
        for prefix in order
    )
    finished = sum(node.path_prob or 0.0 for node in nodes)
    return SearchTree(nodes, max(0.0, 1.0 - finished))


def _chances(
    trie: PrefixTrie, image_row: Float[np.ndarray, " width"], prefix: tuple[int, ...]
) -> Float[np.ndarray, " outcomes"]:
    """Return the probability of every label and END after a prefix."""
    trie.start_batch()
    path = np.array([prefix], dtype=np.int32).reshape(1, len(prefix))
    nodes = trie.find(path, np.array([len(prefix)]))
    chances: np.ndarray = np.exp(trie.log_probs(nodes, image_row[None])[0].astype(np.float64))
    return chances


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
        tree: prefixes with probabilities.
        exact: the best-first search's path, with its certificate.
        beam: the beam search's path.
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
            "scores": [one.to_dict() for one in self.scores],
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
    scores: int = 12,
    clicks: int = 6,
    changes: int = 5,
) -> VisibleSearch:
    """Search an image and keep what is seen on the way.

    Args:
        tagger: of a run whose head is a label model.
        scores: labels listed, best first; each of them is also tried as a click.
        clicks: clicks kept, those that change most.

    Raises:
        InputError: the head is searched by nobody (a sigmoid head), features that do not fit, or numbers out of
            range.
    """
    answerer = label_model_answerer(tagger.answerer)
    if answerer is None:
        raise InputError(
            f"the head of this run is {tagger.run.config.head!r}, which says no labels one after the other: there "
            "is no search to show. Give a run of --head cnn-rnn."
        )
    if min(scores, clicks, changes) < 0:
        raise InputError("scores, clicks and changes must be 0 or more.")
    names, search = tagger.labels, tagger.run.config.search
    rows = answerer.step.image_rows(features[None])
    certified = best_paths(answerer.trie, rows, budget=search.expansions)
    width, found = search.beam_width, beam_search(answerer.trie, rows, search)
    exact = FoundPath(certified.path(0), float(certified.log_probs[0]), bool(certified.exact[0]))
    beam = FoundPath(found.best(0), float(found.log_probs[0, 0]), False)
    tree = search_tree(answerer.trie, rows[0], shown=(exact.labels, beam.labels))
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
                tagger.run,
                tagger.answerer,
                features,
                accepted=[label],
                count=whole,
                mechanism=before.mechanism,
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


ROW, TOP, TALL = 30, 8, 22
LONGEST = 18
BAR = 90
"""Longest bar of an END leaf, pixels."""

FEWEST = 0.005
"""END leaves less probable than this are left out, unless a path ends there."""

Path = tuple[str, ...]
Node = Mapping[str, Any]


def tree_chart(tree: Mapping[str, Any], *, exact: Sequence[str], beam: Sequence[str], title: str) -> Markup:
    """Return the tree as SVG.

    Args:
        tree: plain values; both paths are in it.
        exact: labels of the exact search's path, drawn in one colour.
        beam: the beam's, drawn dashed in another where it differs.
        title: for readers of screens.
    """
    nodes: Sequence[Node] = tree["nodes"]
    paths = {"exact": tuple(exact), "beam": tuple(beam)}
    laid = _Layout(nodes, set(paths.values()))
    parts = []
    for i, node in enumerate(nodes):
        if node["parent"] is not None:
            start = laid.right_of(node["parent"])
            parts.append(_branch(start, laid.left_of(i), node["probability"], _passing(node, paths)))
        if i in laid.ends:
            end = float(laid.x[len(node["prefix"]) + 1]), laid.ends[i]
            parts.append(_branch(laid.right_of(i), end, node["path_probability"], _ending(node, paths)))
    for i, node in enumerate(nodes):
        parts.append(_box(node, *laid.left_of(i), _passing(node, paths)))
        if i in laid.ends:
            at = float(laid.x[len(node["prefix"]) + 1])
            parts.append(_end(node, at, laid.ends[i], _ending(node, paths)))
    size = {"width": laid.width, "height": laid.height}
    return element("svg", *parts, hint=title, class_="chart tree", role="img", **size)


def _passing(node: Node, paths: Mapping[str, Path]) -> str:
    """Return which path a prefix is on: the exact one first."""
    prefix = tuple(node["prefix"])
    return next((f" {name}" for name, path in paths.items() if path[: len(prefix)] == prefix), "")


def _ending(node: Node, paths: Mapping[str, Path]) -> str:
    """Return which path ends with a prefix."""
    return next((f" {name}" for name, path in paths.items() if path == tuple(node["prefix"])), "")


def _box(node: Node, x: float, y: float, kind: str) -> Markup:
    chance, name = node["probability"], _name(node)
    prefix = " → ".join(node["prefix"]) or "no label yet"
    step = f", {node['step']:.4f} after what stands before it" if node["prefix"] else ""
    share = element("tspan", f"{chance:.2f}", class_="quiet", dx=6, fill_opacity=".7")
    box = {"x": f"{x:g}", "y": f"{y - TALL / 2:g}", "width": _width(name), "height": TALL, "rx": 5}
    return element(
        "g",
        element("rect", class_=f"box{kind}", **box),
        element("text", shortened(name, LONGEST), share, x=f"{x + 8:g}", y=f"{y + 4:g}"),
        hint=f"{prefix}: p = {chance:.4f}{step}",
    )


def _end(node: Node, x: float, y: float, kind: str) -> Markup:
    chance = node["path_probability"]
    path = " → ".join((*node["prefix"], "nothing more"))
    long = max(2.0, BAR * chance)
    box = {"x": f"{x:g}", "y": f"{y - 6:g}", "width": f"{long:.1f}", "height": 12, "rx": 3}
    place = {"class": "strong" if kind else "quiet", "x": f"{x + long + 6:.1f}", "y": f"{y + 4:g}"}
    return element(
        "g",
        element("rect", class_=f"end{kind}", **box),
        element("text", f"nothing more {chance:.3f}", **place),
        hint=f"{path}: p = {chance:.4f}",
    )


class _Layout:
    """Where everything stands: a row per leaf, a column per depth, parents in the middle of their children."""

    def __init__(self, nodes: Sequence[Node], paths: set[Path]) -> None:
        self.nodes, self.paths = nodes, paths
        self.y: dict[int, float] = {}
        self.ends: dict[int, float] = {}
        self._rows = 0
        self._children: dict[int, list[int]] = {i: [] for i in range(len(nodes))}
        for i, node in enumerate(nodes):
            if node["parent"] is not None:
                self._children[node["parent"]].append(i)
        self._place(0)
        self.x, at = [], 2
        for depth in range(max(len(node["prefix"]) for node in nodes) + 2):
            self.x.append(at)
            here = [_width(_name(node)) for node in nodes if len(node["prefix"]) == depth]
            at += max(here, default=0) + 46
        self.width = self.x[-1] + BAR + 80
        self.height = TOP + ROW * self._rows + 8

    def left_of(self, i: int) -> tuple[float, float]:
        return float(self.x[len(self.nodes[i]["prefix"])]), self.y[i]

    def right_of(self, i: int) -> tuple[float, float]:
        x, y = self.left_of(i)
        return x + _width(_name(self.nodes[i])), y

    def _place(self, i: int) -> None:
        node, children = self.nodes[i], self._children[i]
        chance = node["path_probability"]
        ends = chance is not None and (
            chance >= FEWEST or tuple(node["prefix"]) in self.paths or not children
        )
        leaves: list[tuple[float, int | None]] = [(self.nodes[j]["probability"], j) for j in children]
        leaves += [(chance, None)] if ends else []
        rows = []
        for _, child in sorted(leaves, key=lambda leaf: -leaf[0]):
            if child is None:
                self.ends[i] = self._next_row()
                rows.append(self.ends[i])
            else:
                self._place(child)
                rows.append(self.y[child])
        self.y[i] = (rows[0] + rows[-1]) / 2 if rows else self._next_row()

    def _next_row(self) -> float:
        self._rows += 1
        return TOP + ROW * (self._rows - 0.5)


def _branch(start: tuple[float, float], end: tuple[float, float], chance: float, kind: str) -> Markup:
    (x, y), (to_x, to_y) = start, end
    middle = (x + to_x) / 2
    line = f"M{x:g} {y:g} C{middle:g} {y:g} {middle:g} {to_y:g} {to_x:g} {to_y:g}"
    return element("path", class_=f"branch{kind}", stroke_width=f"{1 + 5 * chance:.2f}", d=line)


def _name(node: Node) -> str:
    return str(node["prefix"][-1]) if node["prefix"] else "START"


def _width(name: str) -> int:
    return 54 + round(7 * letters_wide(shortened(name, LONGEST)))
