"""Which files a run needs: it says so itself, and a copy that lost one is refused."""

import json
import shutil
from pathlib import Path

import pytest

from labelbeam.errors import InputError
from labelbeam.runs.run_directory import fingerprint, load_run
from labelbeam.runs.tagger import Tagger


def test_a_run_lists_what_its_answers_depend_on_and_a_copy_without_one_is_refused(
    finished: Path, tmp_path: Path
) -> None:
    listed = json.loads((finished / "labels.json").read_text())["files"]
    assert {"model.safetensors", "encoder.safetensors", "config.yaml", "calibration.json"} <= set(listed)
    assert set(listed) <= {file.name for file in finished.iterdir()}
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("model.safetensors", "encoder.safetensors", "config.yaml", "labels.json"):
        shutil.copyfile(finished / name, copy / name)
    with pytest.raises(InputError, match=r"is not whole: calibration\.json.* missing"):
        load_run(copy)
    for name in listed:
        shutil.copyfile(finished / name, copy / name)
    load_run(copy)
    assert fingerprint(copy) == fingerprint(finished)


def test_a_run_from_before_the_list_loads(finished: Path, tmp_path: Path) -> None:
    old = shutil.copytree(finished, tmp_path / "old")
    labels = json.loads((old / "labels.json").read_text())
    del labels["files"]
    (old / "labels.json").write_text(json.dumps(labels))
    (old / "calibration.json").unlink()
    assert load_run(old).calibration is None
    assert "no calibration.json is there" in Tagger.load(old).note
    (old / "metrics.json").write_text("{}")  # trained without validation: there never was one
    assert Tagger.load(old).note == ""
