"""The HTML page of a job's first pictures with their tags; small, so that a browser opens it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from labelbeam.charts.page import embedded_image, embedded_thumbnail, font_advice
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
    return '<div class="cards">' + "\n".join(_card(one, pixelated=pixelated) for one in pictures) + "</div>"


def _card(picture: TaggedPicture, *, pixelated: bool) -> str:
    said = picture.prediction
    image = "" if said.error else _image(picture.path, pixelated=pixelated)
    name = "" if pixelated else _file_name(picture.path)
    text = f'<p class="bad">{escape(said.error)}</p>' if said.error else _answer(picture)
    kind = "card small" if pixelated else "card"
    return f'<div class="{kind}">{image}<div>{name}{text}</div></div>'


def _answer(picture: TaggedPicture) -> str:
    said = picture.prediction
    truth = None if picture.truth is None else set(picture.truth)
    sure = "certified" if said.exact else "not certified"
    path = escape(" → ".join((*said.path, "END")))
    log_p = "a ranking, no probability" if said.log_prob is None else f"log p = {said.log_prob:.2f}, {sure}"
    lines = [f'<p class="quiet">{path}<br>{log_p}</p>']
    lines += [
        f'<div class="row"><span class="{_colour(one.label, truth)}">{escape(one.label)}</span>'
        f'<i style="width:{100 * one.score:.0f}%"></i><span>{one.score:.2f}</span></div>'
        for one in said.labels
    ]
    if not said.labels:
        lines.append('<p class="quiet">no label decided</p>')
    if truth is not None:
        missed = sorted(truth - {one.label for one in said.labels})
        if missed:
            lines.append(f'<p class="quiet">missed: {escape(", ".join(missed))}</p>')
        elif truth == {one.label for one in said.labels}:
            lines.append('<p class="good">the whole set is right</p>')
    for name, labels, possible in picture.others:
        verdict = "" if possible else ' <span class="bad">(impossible together)</span>'
        lines.append(
            f'<p class="quiet">{escape(name)}: {escape(", ".join(labels) or "nothing")}{verdict}</p>'
        )
    return "".join(lines)


def _image(path: Path, *, pixelated: bool) -> str:
    try:
        address = embedded_image(path) if pixelated else embedded_thumbnail(path)
    except UnreadableImage as error:  # it was there when it was tagged
        return f'<div class="bad">{escape(error.reason)}</div>'
    return f'<img src="{address}" alt="{escape(_shown(path))}">'


def _file_name(path: Path) -> str:
    return f'<p class="file">{escape(_shown(path))}</p>'


def _shown(path: Path) -> str:
    """Return a file's name as text; names that are not UTF-8 exist on Linux."""
    return path.name.encode("utf-8", "replace").decode("utf-8")


def _colour(label: str, truth: set[str] | None) -> str:
    if truth is None:
        return ""
    return "good" if label in truth else "bad"


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
