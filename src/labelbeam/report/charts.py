"""The charts of the analyses, drawn from their JSON: every number of a picture is in the values beside it.

One function per picture; `report` puts them on a page, a command writes one into a file (`charts.charts.picture`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from labelbeam.charts.charts import Mark, Row, change_rows, element, interval_rows
from labelbeam.charts.scatter import Axis, Spot, even_ticks, scatter
from labelbeam.explain.search_tree import tree_chart

Values = Mapping[str, Any]

TRAIT_AXES = {
    "training_images": ("training images (logarithmic)", True),
    "mean_area": ("mean area of the largest object, share of the image", False),
    "predictability": ("predictable from the other labels, share of its entropy", False),
}


def label_map_chart(space: Values) -> Markup:
    """Return the map of labels, with the way of an image's query point where there is one.

    Args:
        space: `neighbors.label_space.LabelSpace.to_json()`.
    """
    spots = [
        Spot(
            one["label"],
            one["x"],
            one["y"],
            float(one["training_images"]),
            f"{one['label']}: {one['training_images']:,} training images",
        )
        for one in space["labels"]
    ]
    steps: Sequence[Values] = space["way"] or ()
    times = _magnified(spots, steps)
    way = [
        Spot(
            f"{number}. says {step['says'] or 'nothing more'} ({step['probability']:.2f})",
            steps[0]["x"] + times * (step["x"] - steps[0]["x"]),
            steps[0]["y"] + times * (step["y"] - steps[0]["y"]),
        )
        for number, step in enumerate(steps, 1)
    ]
    notes = [f"Two dimensions show {sum(space['explained']):.0%} of the labels' spread."]
    notes += [f"The steps are drawn {times} times as long as they are."] if times > 1 else []
    return scatter(spots, way=way, title="labels by their embeddings", notes=notes)


def _magnified(spots: Sequence[Spot], steps: Sequence[Values]) -> int:
    """Return how many times as long steps are drawn: enough to tell them apart beside the labels."""
    reach = max(max(one.x for one in spots) - min(one.x for one in spots), 1e-9)
    moves = [((step["x"] - steps[0]["x"]) ** 2 + (step["y"] - steps[0]["y"]) ** 2) ** 0.5 for step in steps]
    longest = max(moves, default=0.0)
    return 1 if longest == 0 else min(1000, max(1, round(0.3 * reach / longest)))


def search_tree_chart(search: Values) -> Markup:
    """Return the tree of an image's search.

    Args:
        search: `explain.search_tree.VisibleSearch.to_json()`.
    """
    exact, beam = search["exact"]["labels"], search["beam"]["labels"]
    return tree_chart(search["tree"], exact=exact, beam=beam, title="prefixes that the search considers")


def click_chart(click: Values) -> Markup:
    """Return what accepting a label would change: hollow before, full after.

    Args:
        click: an entry of a search's `clicks`.
    """
    changes = [(one["label"], one["before"], one["after"]) for one in click["changes"]]
    return change_rows(changes, title=f"if {click['label']} is accepted")


LABELS_SHOWN = 40


def label_results_chart(labels: Sequence[Values]) -> Markup:
    """Return precision (disc) and recall (square) of the most frequent labels, with intervals.

    Args:
        labels: the `labels` of `report.mistakes.Failures.to_json()`.
    """
    rows = [
        Row(
            one["label"],
            (_mark(one["precision"]), _mark(one["recall"])),
            f"{one['label']}: on {one['present']:,} images; {one['right']:,} of {one['decided']:,} decided are right",
        )
        for one in labels[:LABELS_SHOWN]
    ]
    return interval_rows(rows, title="precision and recall by label")


def size_chart(sizes: Sequence[Values]) -> Markup:
    """Return recall by the size of the largest object, with intervals.

    Args:
        sizes: the `sizes` of a failure report.
    """
    rows = [
        Row(
            f"{one['area_above']:.0%} to {one['area_at_most']:.0%}",
            (_mark(one["recall"]),),
            f"{one['found']:,} of {one['present']:,} found",
        )
        for one in sizes
    ]
    return interval_rows(rows, title="recall by the largest object's share of the image")


def trait_chart(labels: Sequence[Values], trait: str) -> Markup:
    """Return recall against a trait, a point per label; empty where fewer than two labels have both.

    Args:
        labels: as `label_results_chart`.
        trait: a name of `TRAIT_AXES`.
    """
    name, logarithmic = TRAIT_AXES[trait]
    both = [
        one
        for one in labels
        if one[trait] is not None
        and one["recall"]["value"] is not None
        and (one[trait] > 0 or not logarithmic)
    ]
    if len(both) < 2:
        return Markup()
    spots = [
        Spot(
            one["label"],
            one[trait],
            one["recall"]["value"],
            float(one["present"]),
            f"{one['label']}: recall {one['recall']['value']:.2f}, {one[trait]:.3g}, on {one['present']:,} images",
        )
        for one in both
    ]
    values = [one[trait] for one in both]
    ticks = _powers(min(values), max(values)) if logarithmic else even_ticks(min(values), max(values))
    axes = Axis(name, ticks, logarithmic), Axis("recall", (0.0, 0.25, 0.5, 0.75, 1.0))
    return scatter(spots, axes=axes, title=f"recall against {name}")


def _mark(share: Values) -> Mark:
    return Mark(share["value"], share["low"], share["high"])


def _powers(low: float, high: float) -> tuple[float, ...]:
    """Return 1, 2, 5, 10, … as far as needed to reach both ends."""
    steps = [base * 10.0**power for power in range(-6, 10) for base in (1, 2, 5)]
    first = max((step for step in steps if step <= low), default=steps[0])
    last = min((step for step in steps if step >= high), default=steps[-1])
    return tuple(step for step in steps if first <= step <= last)


HIGH, FOOT = 200, 26
"""Of a learning curve and of what stands below it, pixels."""


def learning_curve(
    epochs: Sequence[float],
    lines: Mapping[str, Sequence[float | None]],
    *,
    title: str,
    best: float | None = None,
) -> Markup:
    """Return lines over epochs.

    Args:
        lines: by name, at most four, one value per epoch; None: not measured.
        title: for readers of screens.
        best: epoch that gets an upright line; None: no line.
    """
    values = [value for line in lines.values() for value in line if value is not None]
    if not values or len(epochs) < 2:
        return Markup()
    ticks = even_ticks(min(0.0, *values), max(values))
    low, high = ticks[0], ticks[-1]
    span, wide = (high - low) or 1.0, (epochs[-1] - epochs[0]) or 1.0

    def x(epoch: float) -> float:
        return 100 * (epoch - epochs[0]) / wide

    def y(value: float) -> float:
        return HIGH * (1 - (value - low) / span) + 8

    parts = []
    for value in ticks:
        at = f"{y(value):.1f}"
        parts.append(element("line", class_="grid", x1=0, x2="100%", y1=at, y2=at))
        parts.append(_tick(f"{value:g}", x=-8, y=f"{y(value) + 4:.1f}", text_anchor="end"))
    parts += [
        _tick(f"{epoch:g}", x=f"{x(epoch):.2f}%", y=HIGH + FOOT, text_anchor="middle")
        for epoch in dict.fromkeys((epochs[0], epochs[len(epochs) // 2], epochs[-1]))
    ]
    if best is not None:
        at = f"{x(best):.2f}%"
        parts.append(element("line", class_="best", x1=at, x2=at, y1=8, y2=HIGH + 8))
    stretched = {"width": "100%", "height": HIGH + 8, "viewBox": f"0 0 1000 {HIGH + 8}"}
    for number, (name, line) in enumerate(lines.items()):
        measured = [(epoch, value) for epoch, value in zip(epochs, line, strict=True) if value is not None]
        points = " ".join(f"{10 * x(epoch):.1f},{y(value):.1f}" for epoch, value in measured)
        drawn = element("polyline", class_=f"learning l{number}", points=points)
        parts.append(element("svg", drawn, **stretched, preserveAspectRatio="none"))
        for epoch, value in measured:
            place = {"cx": f"{x(epoch):.2f}%", "cy": f"{y(value):.1f}", "r": 3}
            hint = f"{name}, epoch {epoch:g}: {value:.4g}"
            parts.append(element("circle", hint=hint, class_=f"s{number}", **place))
    size = {"width": "100%", "height": HIGH + FOOT + 8}
    return element("svg", *parts, hint=title, class_="chart learning-curve", role="img", **size)


def _tick(text: str, **place: object) -> Markup:
    return element("text", text, class_="quiet", **place)


SIDE, EDGE = 320, 40
"""Of a reliability diagram, and left of it, pixels."""


def reliability(bins: Sequence[Values], *, title: str) -> Markup:
    """Return a reliability diagram: on the diagonal, probabilities are what they claim.

    Args:
        bins: by rising score: `score`, `count`, and the `share` present with its interval; the area of a disc grows
            with the bin's count, from a least size.
        title: for readers of screens.

    Source:
        DeGroot and Fienberg 1983; Niculescu-Mizil and Caruana 2005.
    """
    most = max((one["count"] for one in bins), default=1)
    ends = {"x1": _x(0.0), "y1": _y(0.0), "x2": _x(1.0), "y2": _y(1.0)}
    parts = [element("line", class_="diagonal", **ends)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(element("line", class_="grid", x1=_x(0.0), x2=_x(1.0), y1=_y(tick), y2=_y(tick)))
        parts.append(_tick(f"{tick:g}", x=EDGE - 6, y=f"{_y(tick) + 4:g}", text_anchor="end"))
        parts.append(_tick(f"{tick:g}", x=_x(tick), y=SIDE + 26, text_anchor="middle"))
    for one in bins:
        share, x = one["share"], _x(one["score"])
        radius = f"{3 + 5 * (one['count'] / most) ** 0.5:.1f}"
        hint = (
            f"probability {one['score']:.3f}, present {share['value']:.3f} ({share['low']:.3f} to "
            f"{share['high']:.3f}) of {one['count']:,}"
        )
        span = element("line", class_="span", x1=x, x2=x, y1=_y(share["low"]), y2=_y(share["high"]))
        disc = element("circle", class_="dot", cx=x, cy=_y(share["value"]), r=radius)
        parts.append(element("g", span, disc, hint=hint))
    parts.append(_tick("probability →", x=_x(1.0), y=SIDE + 44, text_anchor="end"))
    parts.append(_tick("↑ share present", x=_x(0.0) + 6, y=f"{_y(1.0) + 14:g}"))
    width, height = SIDE + EDGE + 16, SIDE + 50
    size = {"width": width, "height": height, "viewBox": f"0 0 {width} {height}"}
    return element("svg", *parts, hint=title, class_="chart reliability", role="img", **size)


def _x(value: float) -> float:
    return round(EDGE + SIDE * value, 2)


def _y(value: float) -> float:
    return round(10 + SIDE * (1 - value), 2)
