"""The HTML page of a job's first pictures with their tags; small, so that a browser opens it."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from labelbeam.answers.prediction import Prediction
from labelbeam.data.whole_file import written_whole
from labelbeam.pages.fonts import font_advice
from labelbeam.pages.page import page as html_page
from labelbeam.pages.tagged_pictures import TaggedPicture, cards


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
