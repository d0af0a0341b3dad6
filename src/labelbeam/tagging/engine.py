"""A tagger with the engine and the numbers that a job asks for, or that are fast and keep its answers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelbeam.encoders.device import best_device
from labelbeam.encoders.engines import WORTH_A_GRAPH, with_engine
from labelbeam.encoders.graph_encoder import provider_name
from labelbeam.errors import InputError
from labelbeam.runs.tagger import Tagger

SAMPLED = 256
"""Photographs of a job that int8 is calibrated on, and that judge whether bfloat16 may be taken."""


def with_job_engine(
    tagger: Tagger,
    *,
    engine: str | None,
    precision: str | None,
    photographs: Sequence[Path],
    images: int | None,
    exactly: bool,
) -> tuple[Tagger, str]:
    """Return the tagger with another engine for its encoder, and a sentence for the user; empty: nothing to say.

    Args:
        tagger: of a run as trained, or exported.
        engine: as the user said; None: "auto".
        precision: as the user said; None: "auto".
        photographs: some of the job's, for calibration and for the judge.
        images: how many the job has; None: nobody knows.
        exactly: whether only float32 is taken where nothing is asked for: what is stored is used again.

    Returns:
        Where nothing is asked for: the tagger itself for small jobs, on an accelerator, and where a graph of this
        encoder cannot be made.

    Raises:
        InputError: what is asked for cannot be had here.
    """
    asked = engine is not None or precision is not None
    if not asked and (images is None or images < WORTH_A_GRAPH or best_device() != "cpu"):
        return tagger, ""

    def judge(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answers = tagger.answer(features)
        thresholds = tagger.thresholds
        return answers.scores, tagger.run.config.decision.decide(answers, thresholds)

    before = tagger.run.encoder
    try:
        encoder = with_engine(
            before,
            engine=engine or "auto",
            precision=precision or "auto",
            photographs=photographs,
            judge=None if exactly else judge,
            images=images,
        )
    except InputError as error:
        if asked:
            raise
        return tagger, f"the encoder stays with PyTorch: {error}"
    if type(encoder) is type(before) and encoder.precision == before.precision and not asked:
        return tagger, ""
    found = Tagger(replace(tagger.run, encoder=encoder))
    kind = encoder.precision.partition(":")[0]
    judged = kind == "bfloat16" and precision is None
    engine_of = getattr(encoder, "engine", "torch")
    where = f" on {provider_name()}" if engine_of == "onnx" else ""
    return found, f"features by {engine_of}{where} in {kind}" + (
        f"; of {len(photographs)} of these photographs the answers stay within bounds." if judged else "."
    )
