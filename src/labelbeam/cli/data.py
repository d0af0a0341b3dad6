"""`labelbeam data inspect | split | convert | download`: labelled data looked at, parted, rewritten, fetched."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelbeam.cli.options import READ, Differences, say, say_json, takes_options
from labelbeam.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from labelbeam.data.dataset import Dataset
    from labelbeam.data.download import PublishedDataset
    from labelbeam.data.stratified import SplitBalance

# `labelbeam data inspect`: what is in labelled data, and what is wrong with it, before anything is trained.


@takes_options(read=(READ, "Reading"))
def inspect(
    data: Annotated[
        str, typer.Argument(help="Data set, FORMAT:PATH#SPLIT; PATH alone tells which format it is in.")
    ],
    val: Annotated[
        list[str] | None,
        typer.Option(help="Another split, compared with the first; may be given several times."),
    ] = None,
    test: Annotated[list[str] | None, typer.Option(help="The same, under another name.")] = None,
    images: Annotated[
        bool,
        typer.Option("--images/--no-images", help="Open every image: unreadable files, sizes, duplicates."),
    ] = True,
    pairs: Annotated[int, typer.Option(help="Pairs of labels listed in each direction.", min=1)] = 200,
    page: Annotated[Path | None, typer.Option(help="Also write one self-contained HTML page.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the JSON object to this file.")] = None,
    write_rules: Annotated[
        Path | None,
        typer.Option(help="Write what labels never or always do together, as a file of rules for --rules."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    *,
    read: Differences,
) -> None:
    """Look through labelled data: frequencies, pairs, duplicates, leakage, unreadable files, odd names."""
    from labelbeam.data.dataset import ReadOptions
    from labelbeam.inspect.inspection import inspect_data, open_splits, show_inspection
    from labelbeam.metrics.score_table import require_folder

    require_folder("--out", out)
    require_folder("--page", page)
    require_folder("--write-rules", write_rules)
    if page is not None and page == out:
        raise InputError(f"--page and --out are the same file, {page}. Name two files.")
    splits = open_splits([data, *(val or ()), *(test or ())], options=ReadOptions(**read))
    found = inspect_data(splits, images=images, pairs=pairs)
    if out is not None:
        _write(out, _as_json(found, indent=1) + "\n")
    if page is not None:
        _write_page(page, found, splits)
    if write_rules is not None:
        from labelbeam.inspect.labels import rules_file

        if not found["rules"]["found"]:
            raise InputError(
                f"{data} shows no rule beyond chance, so --write-rules has nothing to write. Leave it out."
            )
        _write(write_rules, rules_file(found["rules"]["found"], data))
    if json_:
        say_json(found)
    elif out is None:
        show_inspection(found)


def _as_json(found: dict[str, Any], *, indent: int | None = None) -> str:
    """Return the object as JSON; a file name that is not UTF-8 becomes an escape, as JSON has it too."""
    text = json.dumps(found, ensure_ascii=False, indent=indent)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _write_page(page: Path, found: dict[str, Any], splits: "Mapping[str, Dataset]") -> None:
    from labelbeam.charts.page import font_advice
    from labelbeam.inspect.page import inspection_page

    if advice := font_advice(row["label"] for row in found["labels"]):
        say(advice, err=True)
    _write(page, inspection_page(found, splits))


def _write(path: Path, text: str) -> None:
    from labelbeam.files import written_whole

    try:
        with written_whole(path) as part:
            part.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Choose another file.") from error


@takes_options(read=(READ, "How the data is read"))
def split(
    data: Annotated[str, typer.Argument(help="Labelled images, FORMAT:PATH#SPLIT.")],
    out: Annotated[
        Path,
        typer.Option(
            help="CSV file to write, with a column `split`; csv:FILE#PART reads it. Of vectors: an .npz."
        ),
    ],
    parts: Annotated[
        str | None, typer.Option(help="Names and shares, such as train=0.8,val=0.1,test=0.1.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(help="So many equal parts fold0, fold1, …; #not-fold0 is all but fold0.")
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Keep images together: folder, match:REGEX (of the image's name) or column:NAME (of the CSV)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides between equally good parts.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the balance as one JSON object.")] = False,
    *,
    read: Differences,
) -> None:
    """Split images into parts that each have their share of every label."""
    from labelbeam.data.dataset import ReadOptions
    from labelbeam.errors import InputError
    from labelbeam.formats.registry import open_dataset
    from labelbeam.formats.splitting import plan_of, split_dataset, write_parts

    if seed < 0:
        raise InputError(f"--seed must be 0 or more, given {seed}.")
    if out.exists():
        raise InputError(f"{out} is there already; nothing is overwritten. Give another --out, or remove it.")
    plan = plan_of(parts=parts, folds=folds)
    options = ReadOptions(**read)
    dataset = open_dataset(data, options=options)
    found = split_dataset(dataset, plan, seed=seed, group_by=group_by, options=options)
    notes = (*dataset.notes, *write_parts(dataset, found.parts, out))
    if json_:
        outcome = {
            "data": data,
            "out": str(out),
            "seed": seed,
            "group_by": group_by,
            "groups": found.num_groups,
        }
        say_json({**outcome, **found.balance.to_json(), "notes": notes})
        return
    for note in notes:
        say(f"labelbeam: {note}", err=True)
    _show(found.balance, num_groups=found.num_groups)
    written = "csv" if dataset.features is None else "vectors"
    first = plan.names[0]
    say(f"{out}: {written}:{out}#{first}, …" + (f", {written}:{out}#not-{first}" if folds else ""))


def _show(balance: "SplitBalance", *, num_groups: int | None) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    values = balance.to_json()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    table = Table(box=SIMPLE)
    table.add_column("part", no_wrap=True)
    for heading in ("images", "share", "wanted", "labels off by, mean", "at most", "labels without an image"):
        table.add_column(heading, justify="right")
    for part in values["parts"]:
        table.add_row(
            part["part"],
            f"{part['images']:,}",
            f"{part['share']:.2%}",
            f"{part['wanted_share']:.2%}",
            f"{part['mean_deviation']:.2%}",
            f"{part['max_deviation']:.2%}",
            str(len(part["labels_without_images"])),
        )
    console.print(table)
    if num_groups is not None:
        console.print(f"{num_groups:,} groups were kept together.")
    worst = balance.worst(5)
    if not worst:
        console.print("Every label is within one image of its share in every part.")
    for one in worst:
        say(f"{one.label}: {one.images:,} of {one.total:,} images in {one.part}, {one.wanted:,.1f} wanted")


# `labelbeam data convert`: a data set from one format to another.


@takes_options(read=(READ, "How the data is read"))
def convert(
    source: Annotated[str, typer.Argument(help="What to read, FORMAT:PATH#SPLIT.")],
    target: Annotated[str, typer.Argument(help="What to write, FORMAT:PATH#SPLIT.")],
    images: Annotated[
        str, typer.Option(help="Image files: keep (stay where they are), link (hard links) or copy.")
    ] = "keep",
    *,
    read: Differences,
) -> None:
    """Convert labelled images from any format to any that can be written."""
    from labelbeam.data.dataset import ReadOptions
    from labelbeam.formats.registry import open_dataset, parse_spec, write_dataset

    dataset = open_dataset(source, options=ReadOptions(**read))
    notes = write_dataset(dataset, target, images=images)
    for note in (*dataset.notes, *notes):
        say(f"labelbeam: {note}", err=True)
    where: Path | None = parse_spec(target).path
    say(f"{where}: {len(dataset):,} images, {len(dataset.vocabulary):,} labels ({target})")


def download(
    name: Annotated[
        str,
        typer.Argument(help="voc2007, voc2012, coco2014, coco2017, nuswide, openimages or openimages-train."),
    ],
    to: Annotated[Path, typer.Option(help="Folder that gets a folder of the data set's name.")],
    labels_only: Annotated[
        bool, typer.Option("--labels-only", help="Leave out files that hold images alone (COCO).")
    ] = False,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="You have read the terms, which are shown without this.")
    ] = False,
) -> None:
    """Fetch a published data set: resumed, checked, unpacked; all of it or nothing."""
    from labelbeam.data.download import PUBLISHED, install
    from labelbeam.errors import InputError, unknown_name

    if name not in PUBLISHED:
        raise unknown_name("published data set", name, PUBLISHED)
    published = PUBLISHED[name]
    if not accept_terms:
        again = shlex.join(
            [
                "labelbeam",
                "data",
                "download",
                name,
                "--to",
                str(to),
                *(["--labels-only"] if labels_only else []),
            ]
        )
        raise InputError(
            "nothing was fetched yet. Read this first:\n"
            + "\n".join(_told(published, labels_only=labels_only))
            + f"\nIf you agree: {again} --accept-terms"
        )
    with _progress() as report:
        found = install(published, to, labels_only=labels_only, report=report)
    for note in (*found.notes, *(published.notes if found.fetched else ())):
        say(f"labelbeam: {note}", err=True)
    say(found.folder)
    for spec in published.specs_in(found.folder):
        say(f"  {spec}")


def _told(published: "PublishedDataset", *, labels_only: bool) -> list[str]:
    """Return what a user should know before the first byte."""
    lines = [published.title]
    for file in published.wanted(labels_only=labels_only):
        size = "size unknown" if file.size is None else f"{file.size / 1e6:,.0f} MB"
        checked = (
            "checked"
            if file.sha256 or file.md5
            else "no checksum is published; recorded at the first download"
        )
        lines.append(f"  {file.url} ({file.holds}, {size}, {checked}{', optional' if file.optional else ''})")
    if known := published.size(labels_only=labels_only):
        lines.append(f"  about {2 * known / 1e9:,.1f} GB are needed for the archives and what is in them")
    return [*lines, *published.terms, *published.notes]


@contextmanager
def _progress() -> Iterator[Callable[[str, int | None, int], None]]:
    """Show a bar per file on a terminal, nothing elsewhere."""
    from rich import progress
    from rich.console import Console

    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    tasks: dict[str, progress.TaskID] = {}

    def report(name: str, size: int | None, count: int) -> None:
        if name not in tasks:
            tasks[name] = bar.add_task(name, total=size)
        bar.update(tasks[name], completed=count)

    with bar:
        yield report
