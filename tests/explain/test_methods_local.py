"""Runs with local evidence show the map that they added up."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from labelbeam.errors import InputError
from labelbeam.explain.explained_run import explain
from labelbeam.explain.methods import local_maps
from labelbeam.heads.local import Local
from labelbeam.heads.options import LocalOptions
from labelbeam.runs.export import export_run
from labelbeam.runs.run_directory import load_run
from labelbeam.runs.tagger import Tagger
from labelbeam.service.project_photographs import Explainer


def test_the_place_that_adds_most_is_the_peak_and_what_is_taken_away_is_apart() -> None:
    local = Local(np.ones((1, 2), np.float32), np.zeros(2, np.float32), LocalOptions("csra"), after=1)
    row = np.array([[7.0, 0, 0, 0, 0, 5, 0, 0, 0, -5]], np.float32)  # 3 x 3 places behind one pooled number
    (supporting, opposing), end = local_maps(local, row, (0, 2), size=30)
    assert np.unravel_index(int(supporting.argmax()), (30, 30)) in {
        (r, c) for r in (14, 15) for c in (14, 15)
    }
    row_of, column_of = np.unravel_index(int(opposing.argmax()), (30, 30))
    assert min(row_of, column_of) >= 20
    assert end[0].max() < 1e-3 < end[1].max()  # what is there speaks against END


@pytest.mark.parametrize("head", ["cnn-rnn", "sigmoid"])
def test_auto_shows_what_places_added(
    head: str, train: Callable[..., Path], drawn: Path, tmp_path: Path
) -> None:
    run = load_run(train(tmp_path / "run", "--head", head, "--local", "csra", "--grid", 2))
    picture, names = sorted(drawn.glob("*.png"))[0], run.labels[:2]
    found = explain(run, picture, labels=names)
    assert found.method == "local"
    assert "numbers that it added up" in found.caption
    pixels = run.encoder.preprocess.resized(np.array(found.picture))[None]
    with torch.inference_mode():
        parts = run.head.local.at_places(run.encoder.encode(pixels))[0]
    for number, step in enumerate(found.steps):
        corners = [step.supporting[r, c] - step.opposing[r, c] for r in (0, -1) for c in (0, -1)]
        np.testing.assert_array_equal(np.argsort(corners), np.argsort(parts[:, number]))
    assert explain(run, picture, labels=names, method="grad-cam").method == "grad-cam"


def test_an_exported_run_and_the_page_show_the_map_that_the_run_added_up(
    train: Callable[..., Path], drawn: Path, tmp_path: Path
) -> None:
    folder = train(tmp_path / "run", "--head", "sigmoid", "--local", "csra", "--grid", 2)
    export_run(folder, tmp_path / "onnx", to="onnx")
    picture, run, exported = sorted(drawn.glob("*.png"))[0], load_run(folder), load_run(tmp_path / "onnx")
    before, after = (explain(one, picture, labels=run.labels) for one in (run, exported))
    for one, other in zip(before.steps, after.steps, strict=True):
        np.testing.assert_allclose(
            one.supporting - one.opposing, other.supporting - other.opposing, atol=1e-4
        )
    with pytest.raises(InputError, match="has no gradients"):
        explain(exported, picture, labels=run.labels, method="grad-cam")
    explainers = [Explainer(Tagger(one)) for one in (run, exported)]
    assert all(one.available and one.own_map for one in explainers)
    shown = [np.asarray(Image.open(BytesIO(one.picture(picture, run.labels[0])))) for one in explainers]
    assert np.abs(shown[0].astype(int) - shown[1]).mean() < 1


def test_a_run_without_local_evidence_has_no_map_of_its_own(finished: Path, drawn: Path) -> None:
    with pytest.raises(InputError, match="--local csra"):
        explain(load_run(finished), sorted(drawn.glob("*.png"))[0], method="local")
