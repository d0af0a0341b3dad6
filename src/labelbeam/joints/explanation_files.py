"""An explanation as files: the strip, the maps as numbers, and what captions say as JSON; or an HTML page."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError
from labelbeam.explain.explanation import Explanation
from labelbeam.pages.explained_page import explanations_page
from labelbeam.pages.explained_strip import write_strip

DIGITS = 6


def told(explanation: Explanation) -> dict[str, Any]:
    """Return everything but the maps, as plain JSON values.

    Per step: `label`, `given` (said before it), `prob`, `value` of the target, `peak` (x and y in the photograph,
    pixels, where support exceeds opposition most), `support` (its share of support and opposition together), `scale`
    (what 1 in the stored maps stands for).
    """
    size = explanation.picture.shape[0]
    region = explanation.region
    steps = []
    for step in explanation.steps:
        x, y = region.place(*step.peak, size=size)
        supporting, opposing = float(step.supporting.sum()), float(step.opposing.sum())
        steps.append(
            {
                "label": step.label,
                "given": list(step.given),
                "prob": round(step.prob, DIGITS),
                "value": round(step.value, DIGITS),
                "peak": {"x": round(x, 1), "y": round(y, 1)},
                "support": round(supporting / ((supporting + opposing) or 1.0), DIGITS),
                "scale": _scale(step.supporting, step.opposing),
            }
        )
    return {
        "image": explanation.image,
        "method": explanation.method,
        "target": explanation.target,
        "caption": explanation.caption,
        "note": explanation.note,
        "region": {name: getattr(region, name) for name in ("left", "top", "width", "height")},
        "size": size,
        "steps": steps,
    }


def write_explanation(explanation: Explanation, folder: Path) -> list[Path]:
    """Write NAME.explained.png, .npz and .json into a folder, which is made if need be.

    The .npz holds `supporting` and `opposing`, float16 [steps size size], 1 standing for the step's `scale`.

    Args:
        explanation: what to write.
        folder: where to.

    Returns:
        The files.

    Raises:
        InputError: the folder cannot be written.
    """
    stem = Path(explanation.image).stem
    picture, maps, numbers = (folder / f"{stem}.explained{suffix}" for suffix in (".png", ".npz", ".json"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_strip(explanation, picture)
        with written_whole(maps) as part, part.open("wb") as file:
            np.savez_compressed(file, **stored_maps(explanation))  # type: ignore[arg-type]  # NumPy's stub
        with written_whole(numbers) as part:
            part.write_text(_json(told(explanation)), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}). Choose another --out or make room."
        ) from error
    return [picture, maps, numbers]


def stored_maps(explanation: Explanation) -> dict[str, np.ndarray]:
    """Return the maps in half precision, each step divided by its `scale`, which half precision could not hold."""
    scales = [_scale(step.supporting, step.opposing) for step in explanation.steps]
    return {
        kind: np.stack(
            [getattr(step, kind) / scale for step, scale in zip(explanation.steps, scales, strict=True)]
        ).astype(np.float16)
        for kind in ("supporting", "opposing")
    }


def write_page(explanations: list[Explanation], path: Path) -> None:
    """Write an HTML page of explanations, whole or not at all."""
    with written_whole(path) as part:
        part.write_text(explanations_page(explanations), encoding="utf-8")


def _scale(supporting: np.ndarray, opposing: np.ndarray) -> float:
    return float(max(supporting.max(), opposing.max())) or 1.0


def _json(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"
