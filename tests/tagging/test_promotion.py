"""A run is promoted only where a paired comparison says that it is better."""

import shutil
from pathlib import Path

import pytest

from labelbeam.errors import InputError
from labelbeam.formats.registry import open_dataset
from labelbeam.predict.prediction import Prediction, ScoredLabel
from labelbeam.runs.tagger import Tagger
from labelbeam.tagging.promotion import promote


def test_the_better_run_takes_the_place_and_a_tie_does_not(
    finished: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = shutil.copytree(finished, tmp_path / "old"), shutil.copytree(finished, tmp_path / "new")
    (new / "mark").write_text("new")
    data = f"csv:{drawn / 'tags.csv'}#test"
    tied = promote(new, old, data)
    assert (tied.promoted, tied.low, tied.high, tied.new) == (False, 0, 0, tied.old)
    assert not (old / "mark").exists()
    with pytest.raises(InputError, match="are one run"):
        promote(old, old, data)
    with pytest.raises(InputError, match="was trained on"):
        promote(new, old, Tagger.load(new).run.config.data)

    copies = tmp_path / "renamed"
    copies.mkdir()
    seen = open_dataset(Tagger.load(new).run.config.data)
    for i, path in enumerate(seen.paths[:3]):
        shutil.copy(path, copies / f"other name {i}.png")
    rows = [f"other name {i}.png,{'|'.join(seen.example(i).present)}" for i in range(3)]
    (copies / "tags.csv").write_text("image,tags\n" + "\n".join(rows) + "\n")
    with pytest.raises(InputError, match="found by path and content"):
        promote(new, old, f"csv:{copies / 'tags.csv'}")
    for i, path in enumerate(open_dataset(data).paths[:4]):
        shutil.copy(path, copies / f"unseen {i}.png")
        rows.append(f"unseen {i}.png,{rows[i % 3].partition(',')[2]}")
    (copies / "tags.csv").write_text("image,tags\n" + "\n".join(rows) + "\n")
    heard: list[str] = []
    assert promote(new, old, f"csv:{copies / 'tags.csv'}", report=heard.append).images == 4
    assert any("3 of 7 photographs are among those that" in line for line in heard)

    dataset = open_dataset(data)
    answers = iter([True, False])

    def tag(self: Tagger, paths: list[Path]) -> list[Prediction]:
        right = next(answers)
        named = [dataset.example(i).present if right else () for i in range(len(dataset))]
        scored = [tuple(ScoredLabel(name, 1.0, 1.0, 1.0, 0.0) for name in names) for names in named]
        return [Prediction(str(path), labels) for path, labels in zip(paths, scored, strict=True)]

    monkeypatch.setattr(Tagger, "tag", tag)
    done = promote(new, old, data)
    assert (done.promoted, done.new, Path(done.kept)) == (True, 1.0, tmp_path / "old.before-1")
    assert (old / "mark").exists()
    assert not (Path(done.kept) / "mark").exists()
