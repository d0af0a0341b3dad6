"""The tree of a search: prefixes from left to right, END leaves, and two paths that stand out.

Draws the plain values of `explain.search_tree.SearchTree.to_json`. Pixels throughout: a wide tree is moved sideways
on a phone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from labelbeam.charts.charts import element, letters_wide, shortened

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
