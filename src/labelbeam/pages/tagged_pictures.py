"""Tagged pictures as cards: the picture, the path in the order in which it was said, every score as a bar."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from labelbeam.answers.prediction import Prediction
from labelbeam.data.images import UnreadableImage
from labelbeam.pages.page import embedded_image
from labelbeam.pages.thumbnail import embedded_thumbnail


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
