"""Scores as people read them: the table that `score`, `evaluate` and `demo` print, and the JSON they write.

Knows the JSON form of `metrics.evaluation.Scores`; computes nothing.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelbeam.errors import InputError, printable
from labelbeam.files import written_whole

if TYPE_CHECKING:
    from rich.console import Console

    from labelbeam.metrics.comparison import Comparison

SHOWN_AS_IS = ("mean_labels_true", "mean_labels_predicted", "log_likelihood")
"""Not fractions: two decimals; everything else is shown in percent."""


def _cell(name: str, value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    sign = "+" if signed else ""
    return f"{value:{sign}.2f}" if name in SHOWN_AS_IS else f"{100 * value:{sign}.1f}"


def show_scores(result: dict[str, Any], *, per_class: bool = False, more: Sequence[str] = ()) -> None:
    """Print the tables; percent with one decimal, what is null as "-" with its reason below, then more lines."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    protocol = result["protocol"]
    intervals, versus = result.get("intervals"), result.get("versus")
    table = Table(box=SIMPLE)
    table.add_column("score", no_wrap=True)
    headings = ["percent"]
    if intervals:
        headings.append("95 % interval")
    if versus:
        headings += ["rival", "difference", "its 95 % interval", "p"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    console.print(f"{protocol['name']}: {protocol['decides']}", soft_wrap=True, markup=False)
    for name in _values(result):
        cells = [name, _cell(name, result[name])]
        if intervals:
            cells.append(_between(name, intervals["of"].get(name)))
        if versus:
            pair = versus["differences"].get(name)
            cells += [
                _cell(name, versus["scores"][name]),
                _cell(name, pair and pair["difference"], signed=True),
            ]
            cells += [_between(name, pair, signed=True), f"{pair['p']:.3f}" if pair else "-"]
        table.add_row(*cells)
    console.print(table)
    console.print(
        f"{protocol['images']} images ({protocol['images_without_labels']} without labels, kept), "
        f"{protocol['labels']} labels ({protocol['labels_with_a_positive']} with a positive); "
        "mean_labels are labels per image, not percent",
        soft_wrap=True,
    )
    if reliability := result.get("reliability"):
        how = "scores calibrated on validation images" if result["calibrated"] else "scores not calibrated"
        error = reliability["pooled"]["ece"]
        if error is not None:
            console.print(
                f"expected calibration error {100 * error:.2f} percentage points ({how})", soft_wrap=True
            )
    if ceiling := protocol.get("exact_k_ceiling"):
        best = " / ".join(_cell(name, ceiling[name]) for name in ("OP", "OR", "OF1"))
        console.print(
            f"best possible OP / OR / OF1 of exactly {protocol['k']} labels per image: {best}", soft_wrap=True
        )
    if intervals and (without := intervals.get("none_of")):
        console.print(f"{', '.join(without)}: no interval; {intervals['why_none']}", soft_wrap=True)
    for line in more:
        console.print(printable(line), soft_wrap=True, markup=False)
    for reason in dict.fromkeys(result["null_because"].values()):
        names = ", ".join(name for name, why in result["null_because"].items() if why == reason)
        console.print(printable(f"{names}: null, because {reason}"), soft_wrap=True, markup=False)
    for note in result["notes"]:
        console.print(printable(f"note: {note}"), soft_wrap=True, markup=False)
    if per_class:
        _show_classes(console, result["per_class"])


def _values(result: dict[str, Any]) -> list[str]:
    return [name for name, value in result.items() if value is None or isinstance(value, float)]


def _between(name: str, ends: dict[str, float] | None, *, signed: bool = False) -> str:
    if ends is None:
        return "-"
    return f"{_cell(name, ends['low'], signed=signed)} to {_cell(name, ends['high'], signed=signed)}"


def _show_classes(console: "Console", per_class: dict[str, dict[str, Any]]) -> None:
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE)
    table.add_column("label")
    headings = ("support", "predicted", "TP", "P", "R", "F1", "AP area", "AP voc10", "AP voc11")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in per_class.items():
        counts = [
            "-" if row[key] is None else str(row[key]) for key in ("support", "predicted", "true_positives")
        ]
        ratios = [
            _cell(key, row[key]) for key in ("precision", "recall", "f1", "ap_area", "ap_voc10", "ap_voc11")
        ]
        table.add_row(escape(printable(name)), *counts, *ratios)
    console.print(table)


def intervals(comparison: "Comparison", *, resamples: int, seed: int) -> dict[str, Any]:
    """Return intervals of every number over images, with how they were made, as plain values."""
    import numpy as np

    from labelbeam.metrics.intervals import RULES, WHY_NONE, bootstrap

    found = bootstrap(comparison, rng=np.random.default_rng(seed), resamples=resamples)
    without = [
        f"mAP_{rule}" for rule in RULES if comparison.scores is not None and f"mAP_{rule}" not in found
    ]
    extra = {"none_of": without, "why_none": WHY_NONE} if without else {}
    return {
        "method": "percentile bootstrap over images; of mAP: half-sampling and the jackknife over images",
        "resamples": resamples,
        "confidence": 0.95,
        "seed": seed,
        "of": {name: asdict(interval) for name, interval in found.items()},
        **extra,
    }


def require_folder(option: str, path: Path | None) -> None:
    """Refuse an output file whose folder is not there, or that would replace somebody else's, before any work.

    What labelbeam writes begins with a brace, a bracket or an angle; a file that begins otherwise is not a result
    of it (a table of labels, say), and is not replaced.

    Raises:
        InputError: there is no such folder, the file is one, or another kind of file is there.
    """
    if path is not None and path.is_dir():
        raise InputError(f"{option} {path} is a folder. Name a file, such as {path / 'out.jsonl'}.")
    if path is not None and not path.parent.is_dir():
        raise InputError(f"{option} {path}: there is no folder {path.parent}. Create it first.")
    if path is not None and path.is_file():
        with path.open("rb") as file:
            start = file.read(64).lstrip()
        if start and start[:1] not in (b"{", b"[", b"<"):
            raise InputError(
                f"{option} {path}: a file is there that is no result of labelbeam's; it is not overwritten. Give "
                "another name, or remove it."
            )


def refuse_one_file_for_two(outputs: Mapping[str, Path | None]) -> None:
    """Refuse two outputs at one place.

    Raises:
        InputError: two options name the same file.
    """
    seen: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is not None:
            first = seen.setdefault(path.resolve(), option)
            if first != option:
                raise InputError(f"{first} and {option} are both {path}; give each a file of its own.")


def write_json(path: Path, result: object) -> None:
    """Write a JSON object, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with written_whole(path) as part:
            part.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Choose another file.") from error
