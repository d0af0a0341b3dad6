"""`labelbeam export`: a run in files that need no PyTorch."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    out: Annotated[
        Path, typer.Option(help="The folder to appear; tag, suggest and evaluate take it as a run.")
    ],
    to: Annotated[
        str,
        typer.Option(help="onnx or openvino (the encoder as a graph), or numpy (features in, no encoder)."),
    ] = "onnx",
    precision: Annotated[
        str, typer.Option(help="Of the graph: float32, or int8 (faster, rounded; needs --calibrate).")
    ] = "float32",
    calibrate: Annotated[
        str | None, typer.Option(help="Photographs that int8 is measured on, FORMAT:PATH#SPLIT.")
    ] = None,
) -> None:
    """Write a run in files that need no PyTorch: the encoder as a graph, the rest as arrays."""
    from labelbeam.joints.export import export_run
    from labelbeam.joints.spec import open_dataset

    paths = () if calibrate is None else open_dataset(calibrate).paths
    exported = export_run(run, out, to=to, precision=precision, calibrate=paths)
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    print(
        f"{out}: {exported.config.head}, {len(exported.vocabulary)} labels, to {to} ({precision}), {size:.1f} MB"
    )
