"""Options that several commands share, each declared once: reading data, encoders, decisions, searches."""

import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from labelbeam.errors import InputError, printable, printable_json

# A verb takes a whole group as one parameter and gets the differences that the user asked for, as a mapping.

Differences = Mapping[str, Any]
"""What the user asked for, by field name; what was not asked for is not in it."""


@dataclass(frozen=True)
class SharedOption:
    """One option of a group.

    Attributes:
        field: the field of the dataclass that it sets.
        kind: type of the value on the command line, such as `int` or `list[str]`.
        help: for `--help`.
        flags: its names; empty: `--` and the field's name with hyphens.
    """

    field: str
    kind: Any
    help: str
    flags: tuple[str, ...] = ()


READ = (
    SharedOption("difficult", str, "VOC's difficult objects: unknown (default), absent or present."),
    SharedOption(
        "keep_unlabelled",
        bool,
        "Keep images that have no label (default), or drop them.",
        ("--keep-unlabelled/--drop-unlabelled",),
    ),
    SharedOption("missing", str, "Image files that are not there: error (default), skip, report, or keep."),
    SharedOption("root", Path, "Folder that a file's image paths start from (default: its own)."),
    SharedOption("delimiter", str, "What separates labels in a cell or text file (default: recognised)."),
    SharedOption("encoding", str, "Encoding of text files, such as cp932 (default: UTF-8)."),
    SharedOption("image_column", str, "CSV: header of the column of images."),
    SharedOption("tags_column", str, "Header of the column of labels (default: recognised)."),
    SharedOption("features_column", str, "Vectors: header of the column of number lists."),
    SharedOption("layout", str, "CSV: tags, one-hot, long or ragged; lists, Parquet: one-hot or numbers."),
    SharedOption("drop_columns", str, "CSV: columns that are no labels: a,b; none: every column is one."),
    SharedOption("absent", str, "What says that a label is absent besides 0: -1, blank, both, or none."),
    SharedOption("combinations", str, "CSV: labels that look like combinations: error (default) or keep."),
    SharedOption("odd_folders", str, "Folders such as Unsorted or 2023-08: error (default), skip or keep."),
    SharedOption("keyword_level", str, "Of keywords such as Animals|Dog: leaf (default), top, path or all."),
    SharedOption("machine_tags", str, "Keywords that a run wrote and nobody touched: present or unknown."),
    SharedOption("tag_root", str, "Keywords below this root are machine tags, such as auto."),
    SharedOption(
        "missing_tags",
        str,
        "What a label is that an image is not tagged with: absent (default), unknown, or unlikely.",
    ),
    SharedOption(
        "aliases", Path, "File of other names, old -> new on each line; merged where both are there."
    ),
    SharedOption("deny", str, "Labels to leave out: a,b or a file with one a line."),
    SharedOption("keep_only", str, "The only labels to keep: a,b or a file with one a line."),
    SharedOption("implications", Path, "File of lines such as dog -> animal: labels that imply labels."),
    SharedOption("min_images", int, "Leave out labels with fewer images than this."),
)
"""`data.dataset.ReadOptions` on the command line."""

ENCODER = (
    SharedOption(
        "name",
        str,
        "efficientnet-lite0 (default where installed), -lite2, dinov2, siglip, convnext, vgg16, tiny, any timm model.",
        ("--encoder",),
    ),
    SharedOption("weights", Path, "The encoder's weights, .safetensors or .pth."),
    SharedOption("size", int, "Side of the input, pixels."),
    SharedOption("pooling", str, "Of the last map: avg, max, avg+max, gem, …"),
    SharedOption("grid", int, "With --local: places a side of the map, at most (default: 11)."),
    SharedOption(
        "tiles",
        int,
        "With --local: parts a side that the picture is looked at in, each at --size (default: 1).",
    ),
    SharedOption("feature", str, "Of vgg16: fc7-relu (default) or fc7."),
    SharedOption("resize", str, "center (crop the middle) or squash."),
    SharedOption("channels", str, "What the weights want: RGB or BGR."),
    SharedOption("scale", float, "What the weights want: the value of white, 1 or 255."),
    SharedOption("mean", str, "What the weights want, such as 0.485,0.456,0.406."),
    SharedOption("std", str, "What the weights want, such as 0.229,0.224,0.225."),
    SharedOption("pad_type", str, "What the weights want: same (TensorFlow's), or '' (symmetric)."),
)
"""`encoders.encoder.EncoderConfig` on the command line."""


DECIDE = (
    SharedOption("decide", str, "path (the most probable set), threshold, or expected-f1."),
    SharedOption("threshold", float, "Least score of a decided label (implies --decide threshold)."),
    SharedOption(
        "tuned_for",
        str,
        "Thresholds that training tuned for: of1, example-f1, label-f1 or subset-accuracy (implies --decide "
        "threshold).",
    ),
    SharedOption(
        "abstain",
        float,
        "Decide nothing for images unlike the training's; 0.05 refuses 5 % of those like them.",
    ),
    SharedOption(
        "rules", Path, "File of rules that every set keeps: exactly one of: a, b; dog -> animal; never: c; …"
    ),
    SharedOption(
        "promise",
        str,
        "precision=0.95 or recall=0.9 (label-precision, label-recall: for every label), proven on calibration images.",
    ),
    SharedOption(
        "on_average",
        bool,
        "Promise recall on average over calibrations, not with confidence 95 %.",
        ("--on-average",),
    ),
    SharedOption(
        "unseen",
        float,
        "Say which images nobody needs to look at; 0.95: of those, 95 % have exactly the right labels.",
    ),
    SharedOption(
        "sets_among", float, "List label sets, the most probable first; 0.9: 90 % of lists hold the true set."
    ),
    SharedOption("search", str, "exact, beam or greedy."),
    SharedOption("beam", int, "Beam width (implies --search beam)."),
    SharedOption(
        "nothing",
        str,
        "Share of the images expected to show none of the labels, such as 0.2; estimate: as the images say; train: as "
        "in training (default: estimate, where no training image was empty and there are 100 images or more).",
    ),
    SharedOption(
        "settings", list[str], "Change the run's search or decision, e.g. search.score=max-step.", ("--set",)
    ),
)
"""How label sets are decided and searched, `runs.tagger`."""


def takes_options(**groups: tuple[tuple[SharedOption, ...], str | None]) -> Callable:
    """Give a verb groups of options, each in place of the parameter that it is named after.

    Args:
        groups: the options, and their heading in `--help`; None: none of their own.

    Returns:
        A decorator: the verb gets the differences of each group, Typer a keyword for each option.

    Example:
        >>> @takes_options(read=(READ, "Reading"))
        ... def show(data: str, *, read: Differences) -> None:
        ...     print(data, dict(read))
        >>> show("csv:a.csv", missing="skip")
        csv:a.csv {'missing': 'skip'}
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(verb)
        def with_groups(*args: Any, **given: Any) -> None:
            asked: dict[str, Differences] = {}
            for name, (options, _) in groups.items():
                values = {option.field: given.pop(option.field, None) for option in options}
                asked[name] = {
                    field: _three_numbers(field, value) if field in ("mean", "std") else value
                    for field, value in values.items()
                    if value is not None
                }
            verb(*args, **given, **asked)

        parameters = []
        for name, one in inspect.signature(verb).parameters.items():
            options, panel = groups.get(name, ((), None))
            parameters += [_parameter(option, panel) for option in options] if name in groups else [one]
        with_groups.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        )
        with_groups.__annotations__ = {one.name: one.annotation for one in parameters}
        return with_groups

    return decorate


def _parameter(option: SharedOption, panel: str | None) -> inspect.Parameter:
    flags = option.flags or ("--" + option.field.replace("_", "-"),)
    parameter = typer.Option(*flags, help=option.help, rich_help_panel=panel, show_default=False)
    annotation = Annotated[option.kind | None, parameter]  # type: ignore[name-defined]
    return inspect.Parameter(
        option.field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _three_numbers(field: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise InputError(
            f"--{field} {text!r} is not three numbers; write them as --{field} 0.485,0.456,0.406."
        )
    return numbers


# Label names as people type them on the command line: `a,b`, repeated or not.


def names_in(texts: Iterable[str] | None, labels: Sequence[str]) -> list[str]:
    """Split `a,b`; a text that is a label itself stays whole, its commas included."""
    names = []
    for text in texts or ():
        parts = [text] if text in labels else text.split(",")
        names += [part.strip() for part in parts if part.strip()]
    return names


def say(text: object, *, err: bool = False) -> None:
    """Print a text to standard output, or to standard error."""
    print(printable(str(text)), file=sys.stderr if err else sys.stdout, flush=True)


def say_json(value: object) -> None:
    """Print one JSON object to standard output; names that are not Unicode are escapes in it, as JSON has them too."""
    print(printable_json(json.dumps(value, ensure_ascii=False)), flush=True)
