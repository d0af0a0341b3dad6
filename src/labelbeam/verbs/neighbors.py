"""`labelbeam neighbors`: which labels are near a label, or near an image, in the joint embedding space."""

import json
from pathlib import Path
from typing import Annotated

import typer

from labelbeam.errors import InputError


def neighbors(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    label: Annotated[str | None, typer.Argument(help="A label; leave out for every label.")] = None,
    image: Annotated[Path | None, typer.Option(help="An image instead: which labels is it near?")] = None,
    count: Annotated[int, typer.Option(help="How many neighbours.", min=1)] = 5,
    measure: Annotated[str, typer.Option(help="cosine, or dot (what the model itself uses).")] = "cosine",
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Show label neighbours; for an image, by its vector alone, before any label is said (the paper's Table 6)."""
    import numpy as np

    from labelbeam.analysis.neighbors import nearest_labels
    from labelbeam.joints.embedding import image_point, label_points
    from labelbeam.joints.run_directory import load_run

    if label is not None and image is not None:
        raise InputError("give a label or --image, not both.")
    trained = load_run(run)
    names, points = trained.vocabulary.names, label_points(trained)
    queries: list[tuple[str, np.ndarray, int | None]]
    if image is not None:
        queries = [(str(image), image_point(trained, image), None)]
    else:
        ids = range(len(names)) if label is None else [trained.vocabulary.id_of(label)]
        queries = [(names[i], points[i], i) for i in ids]
    found = {
        name: nearest_labels(query, points, count=count, measure=measure, leave_out=itself)
        for name, query, itself in queries
    }
    if json_:
        told = {
            name: [{"label": names[one.label], "similarity": round(one.similarity, 6)} for one in near]
            for name, near in found.items()
        }
        typer.echo(json.dumps({"measure": measure, "neighbors": told}, ensure_ascii=False))
        return
    for name, near in found.items():
        print(f"{name}\t" + ", ".join(f"{names[one.label]} {one.similarity:.2f}" for one in near))
