"""The HTML page of a job's first pictures with their tags; small, so that a browser opens it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from labelbeam.charts.page import embedded_image, embedded_thumbnail, font_advice, render
from labelbeam.charts.page import page as html_page
from labelbeam.data.images import UnreadableImage
from labelbeam.files import written_whole
from labelbeam.predict.prediction import Prediction

# Tagged pictures as cards: the picture, the path in the order in which it was said, every score as a bar.


@dataclass(frozen=True)
class TaggedPicture:
    """One card.

    Attributes:
        path: the picture.
        prediction: what the model says.
        truth: its true labels, where they are known.
        others: what rivals decided: (name, labels, whether such a set is possible).
    """

    path: Path
    prediction: Prediction
    truth: tuple[str, ...] | None = None
    others: tuple[tuple[str, tuple[str, ...], bool], ...] = ()


def cards(pictures: list[TaggedPicture], *, pixelated: bool = False) -> str:
    """Return the pictures as HTML.

    Args:
        pictures: one card each.
        pixelated: whether the pictures are small ones: embedded as they are and enlarged without blur;
            others are embedded as thumbnails, with their file names.
    """
    shown = [(one, _shown(one.path), *_image(one, pixelated=pixelated)) for one in pictures]
    return render("tagging/cards.html.jinja", cards=shown, pixelated=pixelated)


def _image(picture: TaggedPicture, *, pixelated: bool) -> tuple[str, str]:
    """Return the address that embeds a picture, or why it cannot be shown; neither where tagging says why."""
    if picture.prediction.error:
        return "", ""
    try:
        return embedded_image(picture.path) if pixelated else embedded_thumbnail(picture.path), ""
    except UnreadableImage as error:  # it was there when it was tagged
        return "", error.reason


def _shown(path: Path) -> str:
    """Return a file's name as text; names that are not UTF-8 exist on Linux."""
    return path.name.encode("utf-8", "replace").decode("utf-8")


# The HTML page of a job's first pictures with their tags; small, so that a browser opens it.


def write_page(
    page: Path, predictions: Sequence[Prediction], count: int, *, report: Callable[[str], None]
) -> None:
    """Write the page of tagged pictures, and say where a font is missing for it.

    Args:
        page: the file to appear, whole or not at all.
        predictions: of the pictures on it.
        count: pictures of the whole job.
        report: told which font is missing.
    """
    told = (
        f"{count:,} pictures" if count == len(predictions) else f"The first {len(predictions)} of {count:,}"
    )
    asked = sum(prediction.unseen is False for prediction in predictions)
    if asked:
        predictions = sorted(predictions, key=lambda one: one.unseen is not False)
        told += f"; {asked:,} that a person should look at come first"
    advice = font_advice(one.label for prediction in predictions for one in prediction.labels)
    if advice:
        report(advice)
    body = [
        f'<p class="quiet">{told}. Under each: the path in the order in which it was said, its log-probability, '
        "and the score of every decided label.</p>",
        f'<p class="bad">{escape(advice)}</p>' if advice else "",
        cards([TaggedPicture(Path(prediction.image), prediction) for prediction in predictions]),
    ]
    with written_whole(page) as part:
        part.write_text(html_page("Tagged pictures", "\n".join(body)), encoding="utf-8")
