"""`labelbeam neighbors`: what is near a label, an image or a label set, and the map of the label space."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelbeam.errors import InputError
from labelbeam.verbs.option_groups import READ, Differences, takes_options

if TYPE_CHECKING:
    from labelbeam.joints.label_space import Named
    from labelbeam.joints.run_directory import Run


@takes_options("read", READ, panel="How --among is read")
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
        str | None,
        typer.Option(help="Find images instead of labels, among these: FORMAT:PATH#SPLIT."),
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

    For an image by its vector alone, before any label is said (the paper's Table 6).
    """
    from labelbeam.features.extract import extract
    from labelbeam.joints.label_space import image_neighbors, label_neighbors
    from labelbeam.joints.run_directory import load_run
    from labelbeam.joints.score_table import require_folder

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
                "labels": _told(found.beside or ()),
            }
    else:
        by_label = label_neighbors(trained, labels or (), count=count, measure=measure)
        result["neighbors"] = {name: _labels(near) for name, near in by_label.items()}
    if map_ is not None:
        _draw(trained, map_, features, measure)
    if json_:
        typer.echo(json.dumps(result, ensure_ascii=False))
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
    from labelbeam.data.options import ReadOptions
    from labelbeam.joints.features import readable_features
    from labelbeam.joints.label_space import images_near
    from labelbeam.joints.spec import open_dataset

    for label in labels:
        trained.vocabulary.id_of(label)  # a wrong name is told before thousands of images are read
    dataset = open_dataset(among, options=ReadOptions(**read))
    dataset, theirs, _ = readable_features(dataset, trained.encoder, flips=False)
    own = None if image is None else image.resolve()
    itself = next((i for i, path in enumerate(dataset.paths) if path.resolve() == own), None)
    return images_near(
        trained, dataset.images, theirs[:, 0], image=features, labels=labels, leave_out=itself, **options
    )


def _draw(trained: "Run", path: Path, features: Any, measure: str) -> None:
    from labelbeam.data.whole_file import written_whole
    from labelbeam.joints.label_space import label_space
    from labelbeam.joints.score_table import write_json
    from labelbeam.joints.tagger import Tagger
    from labelbeam.pages.analysis_charts import label_map_chart
    from labelbeam.pages.chart_style import picture

    if path.suffix.lower() != ".svg":
        raise InputError(f"--map {path}: the map is drawn as SVG. Give a name that ends in .svg.")
    told = label_space(Tagger(trained), features, measure=measure).to_json()
    with written_whole(path) as part:
        part.write_text(picture(label_map_chart(told), width=760, height=520), encoding="utf-8")
    write_json(path.with_suffix(".json"), told)


def _labels(near: "Sequence[Named]") -> list[dict[str, Any]]:
    return [{"label": one.name, "similarity": round(one.value, 6)} for one in near]


def _told(best: "Sequence[Named]") -> list[dict[str, Any]]:
    return [{"label": one.name, "score": round(one.value, 6)} for one in best]


def _show(result: Mapping[str, Any]) -> None:
    for query, near in (*result.get("neighbors", {}).items(), *result.get("images", {}).items()):
        named = (f"{one.get('label', one.get('image'))} {one['similarity']:.2f}" for one in near)
        print(f"{query}\t" + ", ".join(named))
    if "beside" in result:
        beside = result["beside"]
        print(
            f"{beside['head']}\t"
            + ", ".join(f"{one['label']} {one['score']:.2f}" for one in beside["labels"])
        )
