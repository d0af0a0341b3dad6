"""Tagged pictures as cards: the picture, the path in the order in which it was said, every score as a bar."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from labelbeam.answers.prediction import Prediction
from labelbeam.pages.page import embedded_image


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
        pixelated: whether small pictures are enlarged without blur.
    """
    kind = "card small" if pixelated else "card"
    return '<div class="cards">' + "\n".join(_card(one, kind) for one in pictures) + "</div>"


def _card(picture: TaggedPicture, kind: str) -> str:
    said = picture.prediction
    truth = None if picture.truth is None else set(picture.truth)
    rows = "".join(
        f'<div class="row"><span class="{_colour(one.label, truth)}">{escape(one.label)}</span>'
        f'<i style="width:{100 * one.score:.0f}%"></i><span>{one.score:.2f}</span></div>'
        for one in said.labels
    )
    sure = "certified" if said.exact else "not certified"
    lines = [
        f'<p class="quiet">{escape(" → ".join((*said.path, "END")))}<br>log p = {said.log_prob:.2f}, {sure}</p>',
        rows,
    ]
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
    image = f'<img src="{embedded_image(picture.path)}" alt="{escape(picture.path.name)}">'
    return f'<div class="{kind}">{image}<div>{"".join(lines)}</div></div>'


def _colour(label: str, truth: set[str] | None) -> str:
    if truth is None:
        return ""
    return "good" if label in truth else "bad"
