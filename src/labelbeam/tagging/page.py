"""The HTML page of a job's first pictures with their tags; small, so that a browser opens it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labelbeam.charts.page import font_advice, render, shown_file, text
from labelbeam.files import written_whole
from labelbeam.predict.prediction import Prediction


@dataclass(frozen=True)
class TaggedPicture:
    """One card.

    Attributes:
        path: the picture.
        prediction: of the model.
        truth: its true labels, None: unknown.
        others: what other models decided: (name, labels, whether such a set is possible).
    """

    path: Path
    prediction: Prediction
    truth: tuple[str, ...] | None = None
    others: tuple[tuple[str, tuple[str, ...], bool], ...] = ()


def shown_cards(pictures: Sequence[TaggedPicture], *, pixelated: bool = False) -> list[tuple[object, ...]]:
    """Return what the template `tagging/cards.html.jinja` shows of each picture.

    Args:
        pictures: one card each.
        pixelated: whether the pictures are small ones: embedded as they are and enlarged without blur;
            others are embedded as thumbnails, with their file names.
    """
    # Where an image could not be tagged, its prediction has the reason already.
    return [
        (
            one,
            text(one.path.name),
            *(("", "") if one.prediction.error else shown_file(one.path, whole=pixelated)),
        )
        for one in pictures
    ]


def write_page(
    page: Path, predictions: Sequence[Prediction], count: int, *, report: Callable[[str], None]
) -> None:
    """Write the page of tagged pictures, those that a person should look at first."""
    predictions = sorted(predictions, key=lambda one: one.unseen is not False)
    advice = font_advice(one.label for prediction in predictions for one in prediction.labels)
    if advice:
        report(advice)
    html = render(
        "tagging/page.html.jinja",
        count=count,
        asked=sum(prediction.unseen is False for prediction in predictions),
        advice=advice,
        pictures=shown_cards([TaggedPicture(Path(one.image), one) for one in predictions]),
    )
    with written_whole(page) as part:
        part.write_text(html, encoding="utf-8")
