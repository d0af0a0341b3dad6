"""Explanations as HTML: photo, a map per step, what changed; the browser draws the labels, whatever their script."""

import base64
from html import escape
from io import BytesIO

import numpy as np
from PIL import Image

from labelbeam.explain.explanation import Explanation
from labelbeam.pages.heat import overlaid
from labelbeam.pages.page import page
from labelbeam.pages.wording import quiet

_STYLE = """<style>
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(11rem, 15rem); gap: .9rem 1rem;
  overflow-x: auto; padding: .2rem 0 1rem; }
.strip.two { grid-template-rows: auto auto; } .strip figure { margin: 0; min-width: 0; }
.strip img { display: block; width: 100%; border-radius: .5rem; }
.strip figcaption { font-size: .875rem; padding-top: .3rem; overflow-wrap: anywhere; }
.strip b { display: block; } .key i { display: inline-block; width: 1rem; height: .8rem; border-radius: .2rem;
  margin-right: .5rem; vertical-align: -.05rem; } .key { font-size: .875rem; align-self: center; }
.key p { margin: .3rem 0; }
</style>"""

_KEY = (
    '<div class="key"><p><i style="background:#e17d0a"></i>speaks for the label</p>'
    '<p><i style="background:#1469b9"></i>speaks against it</p>'
    '<p class="quiet">This row: each map less the one before it, both scaled to the same total; orange gained '
    "weight, blue lost it.</p></div>"
)


def explanations_page(explanations: list[Explanation]) -> str:
    """Return a whole HTML document.

    Args:
        explanations: one section each.
    """
    title = "What speaks for each label"
    return page(title, _STYLE + "\n".join(section(one) for one in explanations))


def section(explanation: Explanation) -> str:
    """Return one explanation as HTML, for a page that has other things on it too (with this module's style)."""
    differs = explanation.joint and len(explanation.steps) > 1
    figures = [_figure(explanation.picture, "photo", "as the encoder sees it")]
    figures += [_KEY] if differs else []
    for number, step in enumerate(explanation.steps):
        given = f", after {', '.join(step.given)}" if step.given else ""
        shown = overlaid(explanation.picture, step.signed)
        figures.append(_figure(shown, step.label, f"p = {step.prob:.2f}{given}"))
        if differs:
            before = explanation.steps[number - 1].label
            moved = overlaid(explanation.picture, explanation.moved(number)) if number else None
            figures.append(
                "<div></div>"
                if moved is None
                else _figure(moved, f"{step.label} − {before}", "the difference")
            )
    name = explanation.image.rpartition("/")[2].encode("utf-8", "replace").decode("utf-8")
    told = f"Method: {explanation.method}; target: {explanation.target}. Each map has its own scale."
    return (
        f"<h2>{escape(name)}</h2>"
        + quiet(" ".join(part for part in (explanation.caption, explanation.note) if part))
        + f'<div class="strip{" two" if differs else ""}">{"".join(figures)}</div>'
        + quiet(told)
    )


def _figure(pixels: np.ndarray, heading: str, under: str) -> str:
    return (
        f'<figure><img src="{_embedded(pixels)}" alt="{escape(heading)}">'
        f'<figcaption><b>{escape(heading)}</b><span class="quiet">{escape(under)}</span></figcaption></figure>'
    )


def _embedded(pixels: np.ndarray) -> str:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
