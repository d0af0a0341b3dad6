"""`labelbeam suggest` and `labelbeam neighbors`: what to add to an image; what is near a label, an image or a set."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelbeam.cli.options import READ, Differences, names_in, say, say_json, takes_options
from labelbeam.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from labelbeam.neighbors.label_space import Named
    from labelbeam.runs.run_directory import Run
    from labelbeam.runs.suggestions import Suggestions

# `labelbeam suggest`: which labels to add to an image, given those accepted and rejected so far.


def suggest(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    image: Annotated[
        str | None, typer.Argument(help="The image; with --vector FILE of many rows: the id of one.")
    ] = None,
    accepted: Annotated[
        list[str] | None,
        typer.Option("--accepted", "--known", help="Labels that the image has: a,b. May be repeated."),
    ] = None,
    rejected: Annotated[
        list[str] | None, typer.Option(help="Labels that it has not: c,d. May be repeated.")
    ] = None,
    count: Annotated[int, typer.Option(help="How many suggestions, at most.", min=1)] = 10,
    vector: Annotated[
        str | None,
        typer.Option(help="Features instead of the image: .npy of one, or vectors:FILE and the id of a row."),
    ] = None,
    mechanism: Annotated[
        str | None,
        typer.Option(help="likelihood-weighting or any-subset (default: the better one on held-out images)."),
    ] = None,
    rules: Annotated[Path | None, typer.Option(help="File of rules that every label set keeps.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Suggest labels for one image, conditioned on what you accepted and rejected."""
    from labelbeam.runs.tagger import Tagger

    asked: Path | np.ndarray
    if vector is not None and vector.startswith("vectors:"):
        asked = read_row(vector, image)
    elif image is None and vector is not None:
        asked = read_vector(Path(vector))
    elif image is not None and vector is None:
        asked = Path(image)
    else:
        given = "neither was given" if image is None else "both were given"
        raise InputError(f"give an image, or its stored features with --vector; {given}.")
    tagger = Tagger.load(run, rules=rules)
    present, absent = names_in(accepted, tagger.labels), names_in(rejected, tagger.labels)
    found = tagger.suggest(asked, accepted=present, rejected=absent, count=count, mechanism=mechanism)
    if json_:
        say_json(json.loads(found.to_json(str(image or vector))))
        return
    say(_text(found))
    if found.note:
        say(f"labelbeam: {found.note}", err=True)


def read_row(spec: str, name: str | None) -> "np.ndarray":
    """Return one row of a file of vectors.

    Raises:
        InputError: a file that cannot be read, an id that is not there, or none where there are several rows.
    """
    from labelbeam.formats.registry import parse_spec
    from labelbeam.formats.vectors import GivenVectors, open_vectors

    parsed = parse_spec(spec)
    if parsed.path is None:
        raise InputError(f"{spec!r} names no file.")
    given = GivenVectors(open_vectors(parsed.path, parsed.split))
    if name is None:
        if len(given) > 1:
            first = next(given.names())
            raise InputError(f"{spec} holds {len(given):,} rows. Give the id of one, such as {first!r}.")
        name = next(given.names())
    _, row = next(given.items([name]))
    if isinstance(row, str):
        raise InputError(row)
    return row


def read_vector(path: Path) -> "np.ndarray":
    """Read one image's stored features: float16 or float32, [features] or [1 features]; nothing is unpickled.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    import numpy as np

    try:
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"--vector {path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, EOFError) as error:
        raise InputError(
            f"--vector {path} is no .npy file of numbers ({error}). Write it with numpy.save(file, features)."
        ) from error
    if not isinstance(values, np.ndarray):
        values.close()
        raise InputError(f"--vector {path} is an archive of arrays; give one array, saved with numpy.save.")
    return values[0] if values.ndim == 2 and len(values) == 1 else values


def _text(found: "Suggestions") -> str:
    lines = [f"mechanism: {found.mechanism}"]
    for one in found:
        between = f"   between {one.low:.3f} and {one.high:.3f}" if one.high > one.low else ""
        error = f" ± {one.stderr:.3f}" if one.stderr else ""
        lines.append(f"{one.score:.3f}{error}\t{one.label}{between}")
    return "\n".join(lines)


# `labelbeam neighbors`: what is near a label, an image or a label set, and the map of the label space.


@takes_options(read=(READ, "How --among is read"))
def neighbors(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    labels: Annotated[
        list[str] | None,
        typer.Argument(help="Labels; leave out for every label. With --among: one label set."),
    ] = None,
    image: Annotated[Path | None, typer.Option(help="An image instead: which labels is it near?")] = None,
    beside: Annotated[
        Path | None, typer.Option(help="With --image: a classifier's run (--head softmax) to list beside.")
    ] = None,
    among: Annotated[
        str | None, typer.Option(help="Find images instead of labels, among these: FORMAT:PATH#SPLIT.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="With --image and --among: features (default) or joint.")
    ] = None,
    map_: Annotated[
        Path | None,
        typer.Option("--map", help="Also draw the label space (SVG), its numbers beside it (JSON)."),
    ] = None,
    count: Annotated[int, typer.Option(help="How many neighbours.", min=1)] = 5,
    measure: Annotated[str, typer.Option(help="cosine, or dot (what the model itself uses).")] = "cosine",
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    *,
    read: Differences,
) -> None:
    """Show what is near: labels of a label, labels or images of an image, images of a label set.

    For an image by its vector alone, before any label (the paper's Table 6).
    """
    from labelbeam.features.extract import extract
    from labelbeam.metrics.score_table import require_folder
    from labelbeam.neighbors.label_space import image_neighbors, label_neighbors
    from labelbeam.runs.run_directory import load_run

    if labels and image is not None:
        raise InputError("give labels or --image, not both.")
    if beside is not None and (image is None or among is not None):
        raise InputError("--beside lists a classifier's labels of an image; give --image, and no --among.")
    if among is not None and not labels and image is None:
        raise InputError("--among finds images near an image or a label set; give labels or --image.")
    if space is not None and among is None:
        raise InputError("--space says where images are compared; give --among too.")
    require_folder("--map", map_)
    trained = load_run(run)
    features = None if image is None else extract([image], trained.encoder).values[0].astype("float32")
    result: dict[str, Any] = {"measure": measure}
    if among is not None:
        near = _images(
            trained, among, read, image, features, labels or (), space=space, count=count, measure=measure
        )
        query = str(image) if image is not None else ", ".join(labels or ())
        result["images"] = {query: [{"image": one.name, "similarity": round(one.value, 6)} for one in near]}
    elif features is not None:
        rival = None if beside is None else load_run(beside)
        found = image_neighbors(trained, features, count=count, measure=measure, beside=rival)
        result["neighbors"] = {str(image): _labels(found.near)}
        if rival is not None:
            result["beside"] = {
                "run": str(beside),
                "head": found.beside_head,
                "labels": _scores(found.beside or ()),
            }
    else:
        by_label = label_neighbors(trained, labels or (), count=count, measure=measure)
        result["neighbors"] = {name: _labels(near) for name, near in by_label.items()}
    if map_ is not None:
        _draw(trained, map_, features, measure)
    if json_:
        say_json(result)
    else:
        _show(result)


def _images(
    trained: "Run",
    among: str,
    read: Mapping[str, Any],
    image: Path | None,
    features: Any,
    labels: Sequence[str],
    **options: Any,
) -> "tuple[Named, ...]":
    from labelbeam.data.dataset import ReadOptions
    from labelbeam.features.extract import readable_features
    from labelbeam.formats.registry import open_dataset
    from labelbeam.neighbors.label_space import images_near

    for label in labels:
        trained.vocabulary.id_of(label)  # a wrong name is reported before thousands of images are read
    dataset = open_dataset(among, options=ReadOptions(**read))
    dataset, theirs, _ = readable_features(dataset, trained.encoder, flips=False)
    own = None if image is None else image.resolve()
    itself = next((i for i, path in enumerate(dataset.paths) if path.resolve() == own), None)
    return images_near(
        trained, dataset.images, theirs[:, 0], image=features, labels=labels, leave_out=itself, **options
    )


def _draw(trained: "Run", path: Path, features: Any, measure: str) -> None:
    from labelbeam.charts.charts import picture
    from labelbeam.files import written_whole
    from labelbeam.metrics.score_table import write_json
    from labelbeam.neighbors.label_space import label_space
    from labelbeam.report.charts import label_map_chart
    from labelbeam.runs.tagger import Tagger

    if path.suffix.lower() != ".svg":
        raise InputError(f"--map {path}: the map is drawn as SVG. Give a name that ends in .svg.")
    values = label_space(Tagger(trained), features, measure=measure).to_json()
    with written_whole(path) as part:
        part.write_text(picture(label_map_chart(values), width=760, height=520), encoding="utf-8")
    write_json(path.with_suffix(".json"), values)


def _labels(near: "Sequence[Named]") -> list[dict[str, Any]]:
    return [{"label": one.name, "similarity": round(one.value, 6)} for one in near]


def _scores(best: "Sequence[Named]") -> list[dict[str, Any]]:
    return [{"label": one.name, "score": round(one.value, 6)} for one in best]


def _show(result: Mapping[str, Any]) -> None:
    for query, near in (*result.get("neighbors", {}).items(), *result.get("images", {}).items()):
        named = (f"{one.get('label', one.get('image'))} {one['similarity']:.2f}" for one in near)
        say(f"{query}\t" + ", ".join(named))
    if "beside" in result:
        beside = result["beside"]
        say(
            f"{beside['head']}\t"
            + ", ".join(f"{one['label']} {one['score']:.2f}" for one in beside["labels"])
        )
