"""Exporting a run: the same model in files that need no PyTorch.

    model.safetensors, config.yaml, labels.json, calibration.json, suggester.*, …   as they are in the run
    encoder.onnx, encoder.json      the encoder as a graph with its transform (to NumPy: encoder.json alone; of runs
                                    trained on vectors neither, features.json says what they read)
    export.json                     what it was exported to, from which run
    decode.py, decode.json          a decoder that needs NumPy alone, and what it must know of the head

The folder is a run directory: whatever loads a run loads it (`runs.run_directory`).
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from labelbeam.decoding.step import AllowedRule, PathLength
from labelbeam.encoders.encoder import GivenFeatures
from labelbeam.encoders.graph_encoder import DESCRIPTION, EXPORT, GRAPH, TARGETS
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import new_folder
from labelbeam.heads import decode
from labelbeam.heads.registry import HEADS
from labelbeam.labels.rules import read_rules
from labelbeam.runs.build import build_answerer
from labelbeam.runs.run_directory import ENCODER, RULES, Run, list_files, load_run, versions

PRECISIONS = ("float32", "int8")

OF_TRAINING = ("resume.safetensors", "suggester", "log.csv")
"""What a run directory may hold that only training reads."""


def export_run(
    run: Path,
    out: Path,
    *,
    to: str,
    precision: str = "float32",
    calibrate: Sequence[Path] = (),
    rules: Path | None = None,
) -> Run:
    """Write a run in another form, the folder whole or not at all.

    Args:
        to: one of `TARGETS`.
        precision: of the encoder's graph: "float32", or "int8" calibrated on photographs.
        calibrate: a few hundred photographs like those to be tagged, for "int8".
        rules: a file of rules that every answer of the export is to keep.

    Returns:
        The exported run, loaded from its folder.

    Raises:
        InputError: an unknown target or precision, photographs missing or not needed, no finished run or one that
            was exported already, an encoder that cannot be written as a graph, or a folder that is there already
            or cannot be written.
    """
    _check(to, precision, calibrate)
    trained = load_run(run)
    if rules is not None:
        trained = replace(trained, rules=read_rules(rules, trained.vocabulary))
        build_answerer(trained.head, trained.config, trained.rules)  # refuses what it cannot keep
    given = isinstance(trained.encoder, GivenFeatures) and not (run / EXPORT).is_file()
    if given and (to != "numpy" or precision != "float32"):
        raise InputError(
            f"{run} was trained on vectors, so there is no encoder to write as a graph. Use --to numpy: NumPy alone "
            "answers vectors."
        )
    if not given and not isinstance(trained.encoder, ImageEncoder):
        raise InputError(f"{run} was exported already. Give the run that it was exported from.")
    try:
        with new_folder(out) as part:
            for file in sorted(run.iterdir()):
                if file.is_file() and file.name not in (ENCODER, *OF_TRAINING) and file.name[0] != ".":
                    shutil.copyfile(file, part / file.name)
            if isinstance(trained.encoder, ImageEncoder):
                _write_encoder(trained.encoder, part, to=to, precision=precision, calibrate=calibrate)
            description = {
                "to": to,
                "precision": precision,
                "run": run.resolve().name,
                "versions": versions(),
            }
            _write(part / EXPORT, description)
            if trained.rules is not None:
                (part / RULES).write_text(trained.rules.text, encoding="utf-8")
            _write(part / "decode.json", decoder_options(trained))
            shutil.copyfile(decode.__file__, part / "decode.py")
            there = (
                file for file in part.iterdir() if file.is_file() and not file.name.startswith("decode.")
            )
            list_files(part / "labels.json", {file.name: file for file in there})
            load_run(part)  # what cannot be loaded again does not appear
    except OSError as error:
        raise InputError(
            f"{out} cannot be written ({error.strerror}). Make room there, or choose another --out."
        ) from error
    return load_run(out)


def decoder_options(run: Run) -> dict[str, Any]:
    """Return what `decode.py` must know of a head, as plain values."""
    config, head = run.config, run.head
    values: dict[str, Any] = {"head": config.head, "scaling": config.scaling}
    values["numbers"] = run.encoder.row_size
    if config.local.name != "none":
        values["local"] = asdict(config.local)
    values["kind"] = HEADS[config.head].decoder
    if values["kind"] == "label-model":
        options, search = config.label_model, config.search
        length = PathLength(search.min_labels, search.max_labels)
        values |= {
            "kind": "label-model",
            "cell": options.cell,
            "activation": options.activation,
            "allowed": options.allowed,
            "per_label": options.per_label,
            "min_labels": length.minimum,
            "nothing": search.nothing,
            "max_labels": length.longest(cast(AllowedRule, options.allowed), head.num_labels),
        }
    if run.rules is not None:
        values["rules"] = [asdict(limit) for limit in run.rules.limits]
    return values


def _check(to: str, precision: str, calibrate: Sequence[Path]) -> None:
    if to not in TARGETS:
        raise unknown_name("target of an export", to, TARGETS)
    if precision not in PRECISIONS:
        raise unknown_name("precision of an export", precision, PRECISIONS)
    if precision == "int8" and to == "numpy":
        raise InputError(
            "--precision int8 is of the encoder's graph, which --to numpy leaves out. Leave it out."
        )
    if (precision == "int8") != bool(calibrate):
        raise InputError(
            "--precision int8 measures the network on photographs like those to be tagged: give them with "
            "--calibrate SPEC. Any other precision needs none."
        )


def _write_encoder(
    encoder: ImageEncoder, folder: Path, *, to: str, precision: str, calibrate: Sequence[Path]
) -> None:
    if to == "numpy":
        _write(folder / DESCRIPTION, {"identity": encoder.identity, "encoder": encoder.config})
        return
    from labelbeam.encoders.graph_export import export_graph

    if precision == "float32":
        export_graph(encoder, folder / GRAPH)
        return
    from labelbeam.encoders.engines import export_quantised
    from labelbeam.encoders.graph_encoder import load_graph

    with TemporaryDirectory() as scratch:
        export_graph(encoder, Path(scratch, GRAPH))
        export_quantised(load_graph(Path(scratch, GRAPH)), folder / GRAPH, calibrate)


def _write(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
