"""The charts of the analyses, drawn from their JSON: every number of a picture is in the values beside it.

One function per picture; `report` puts them on a page (with `charts.charts.CHART_STYLE`), a command writes one into a
file (`charts.charts.picture`). Computes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from labelbeam.charts.interval_rows import Mark, Row, change_rows, interval_rows
from labelbeam.charts.scatter import Axis, Spot, even_ticks, scatter
from labelbeam.explain.tree_chart import tree_chart

Values = Mapping[str, Any]

TRAIT_AXES = {
    "training_images": ("training images (logarithmic)", True),
    "mean_area": ("mean area of the largest object, share of the image", False),
    "predictability": ("predictable from the other labels, share of its entropy", False),
}


def label_map_chart(space: Values) -> str:
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


def search_tree_chart(search: Values) -> str:
    """Return the tree of an image's search.

    Args:
        search: `explain.search_tree.VisibleSearch.to_json()`.
    """
    exact, beam = search["exact"]["labels"], search["beam"]["labels"]
    return tree_chart(search["tree"], exact=exact, beam=beam, title="prefixes that the search considers")


def scores_chart(search: Values) -> str:
    """Return every listed label's marginal with its hard bounds.

    Args:
        search: as `search_tree_chart`.
    """
    rows = [
        Row(
            one["label"],
            (Mark(one["score"], one["low"], one["high"]),),
            f"{one['label']}: {one['score']:.4f}, between {one['low']:.4f} and {one['high']:.4f}, standard error "
            f"{one['stderr']:.4f}",
        )
        for one in search["scores"]
    ]
    return interval_rows(rows, title="probability of each label, with hard bounds")


def click_chart(click: Values) -> str:
    """Return what accepting a label would change: hollow before, full after.

    Args:
        click: an entry of a search's `clicks`.
    """
    changes = [(one["label"], one["before"], one["after"]) for one in click["changes"]]
    return change_rows(changes, title=f"if {click['label']} is accepted")


def label_results_chart(labels: Sequence[Values], *, most: int = 40) -> str:
    """Return precision (disc) and recall (square) of the most frequent labels, with intervals.

    Args:
        labels: the `labels` of `report.failures.Failures.to_json()`.
        most: labels shown.
    """
    rows = [
        Row(
            one["label"],
            (_mark(one["precision"]), _mark(one["recall"])),
            f"{one['label']}: on {one['present']:,} images; {one['right']:,} of {one['decided']:,} decided are right",
        )
        for one in labels[:most]
    ]
    return interval_rows(rows, title="precision and recall by label")


def size_chart(sizes: Sequence[Values]) -> str:
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


def trait_chart(labels: Sequence[Values], trait: str) -> str:
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
        return ""
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
