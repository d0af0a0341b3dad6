import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.errors import InputError
from labelbeam.formats.registry import open_dataset
from labelbeam.scenes import files
from labelbeam.scenes.bayes import true_distribution
from labelbeam.scenes.files import SIZE, SPLITS, draw_scene, read_scenes, scene_cues
from labelbeam.scenes.world import HIDDEN, LIGHTS, NOTHING, SCENES, VOCABULARY, Cues, multi_hot


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def everything_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def digest(folder: Path) -> str:
    together = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        together.update(file.name.encode() + file.read_bytes())
    return together.hexdigest()


def test_a_split_is_a_data_set_of_square_pictures_with_every_label_known():
    data = read_scenes("test", count=12)
    assert data.spec == "scenes#test"
    assert data.vocabulary == VOCABULARY
    assert set(np.unique(data.targets)) == {0, 1}
    assert dict(data.protocol) == {"world_version": 2, "seed": 0}
    assert "cannot be read off the pixels" in data.notes[0]
    for path in data.paths:
        with Image.open(path) as image:
            assert (image.mode, image.size, image.format) == ("RGB", (SIZE, SIZE), "PNG")


def test_the_data_set_argument_reads_it(monkeypatch):
    monkeypatch.setitem(SPLITS, "val", 5)
    assert len(open_dataset("scenes#val")) == 5


def test_visible_labels_of_the_targets_are_those_of_the_cues():
    data, cues = read_scenes("val", count=40), scene_cues("val", count=40)
    expected = np.stack([multi_hot(given.visible_labels) for given in cues])
    assert (data.targets[:, ~HIDDEN] == expected[:, ~HIDDEN]).all()
    assert np.isfinite(true_distribution(cues).set_log_probs(data.targets.astype(bool))).all()


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path):
    here = digest(read_scenes("train", count=6).root)
    code = "from labelbeam.scenes.files import read_scenes; print(read_scenes('train', count=6).root)"
    environment = os.environ | {"LABELBEAM_CACHE": str(tmp_path / "other"), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert digest(Path(done.stdout.strip())) == here


def test_seeds_and_splits_differ_and_a_short_split_begins_a_longer_one():
    digests = {
        digest(read_scenes(split, seed=seed, count=3).root)
        for split, seed in [("train", 0), ("val", 0), ("train", 1)]
    }
    assert len(digests) == 3
    short, long = read_scenes("test", count=3), read_scenes("test", count=7)
    assert (short.targets == long.targets[:3]).all()
    assert [p.read_bytes() for p in short.paths] == [p.read_bytes() for p in long.paths[:3]]


def test_a_drawn_split_is_read_without_drawing_again(monkeypatch):
    read_scenes("val", count=4)

    def refuse(*_, **__):
        raise AssertionError("drawn again")

    monkeypatch.setattr(files, "draw_scene", refuse)
    assert len(read_scenes("val", count=4)) == 4


def test_an_interrupted_drawing_leaves_nothing_and_the_next_one_is_whole(cache, monkeypatch):
    calls = []

    def interrupt(cues, generator):
        calls.append(cues)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw_scene(cues, generator)

    with monkeypatch.context() as patch:
        patch.setattr(files, "draw_scene", interrupt)
        with pytest.raises(KeyboardInterrupt):
            read_scenes("val", count=5)
    assert len(calls) == 3
    assert not list((cache / "scenes").iterdir())
    assert all(path.is_file() for path in read_scenes("val", count=5).paths)


def test_a_folder_from_which_somebody_removed_a_picture_is_drawn_anew():
    data = read_scenes("val", count=5)
    before = data.path(2).read_bytes()
    data.path(2).unlink()
    assert read_scenes("val", count=5).path(2).read_bytes() == before


def test_a_second_process_that_was_faster_is_not_disturbed(cache, monkeypatch):
    rival = []

    def draw_while_a_rival_finishes(cues, generator):
        if not rival:
            rival.append(True)
            rival.append(read_scenes("val", count=3))
        return draw_scene(cues, generator)

    monkeypatch.setattr(files, "draw_scene", draw_while_a_rival_finishes)
    data = read_scenes("val", count=3)
    assert len(rival) == 2
    assert [file.name for file in (cache / "scenes").iterdir()] == [data.root.name]
    assert len(everything_in(cache)) == 3


def test_a_cache_that_cannot_be_written_to_says_where_and_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError) as caught:
        read_scenes("val", count=3)
    for word in ["scenes#val", str(tmp_path / "file"), "could not be drawn", "set LABELBEAM_CACHE"]:
        assert word in str(caught.value)


def test_a_full_disk_is_named_and_leaves_nothing(cache, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match=r"No space left on device.*make room there"):
        read_scenes("val", count=3)
    assert not list((cache / "scenes").iterdir())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: read_scenes("tets"), ["split of scenes 'tets'", "Did you mean 'test'", "train, val"]),
        (lambda: read_scenes(""), ["split of scenes ''", "test, train, val"]),
        (lambda: read_scenes("val", seed=-1), ["seed", "0 or more", "-1"]),
        (lambda: scene_cues("val", count=0), ["1 to 99999", "given 0"]),
        (lambda: draw_scene(Cues("sea", "dawn"), np.random.default_rng(0), size=9), ["32 to 512", "given 9"]),
    ],
)
def test_bad_input_is_answered_with_words_that_repair_it(make, words):
    with pytest.raises(InputError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_a_picture_fills_the_size_that_was_asked_for(size):
    pixels = draw_scene(Cues("farm", "gold", ("cow",)), np.random.default_rng(1), size=size)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert pixels.reshape(-1, 3).std(axis=0).min() > 10


def test_a_picture_that_shows_nothing_is_one_dark_colour_in_every_light():
    for light in LIGHTS:
        pixels = draw_scene(Cues(NOTHING, light), np.random.default_rng(1)).astype(float)
        assert pixels.mean() < 100
        # Of blocks of 16 x 16, to be rid of grain: no two neighbours are far apart.
        blocks = pixels.reshape(4, 16, 4, 16, 3).mean(axis=(1, 3))
        assert max(np.abs(np.diff(blocks, axis=axis)).max() for axis in (0, 1)) < 30


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_each_thing_changes_the_picture_where_it_stands(scene):
    # The backdrop comes first from the same numbers, so only what the thing covers (and grain) may differ.
    bare = draw_scene(Cues(scene, "noon"), np.random.default_rng(4)).astype(int)
    for thing in ["person", "bird", "boat", "car", "cow", "cup", "traffic light"]:
        try:
            cues = Cues(scene, "noon", (thing,))
        except InputError:
            continue
        changed = np.abs(draw_scene(cues, np.random.default_rng(4)) - bare).max(axis=2) > 40
        assert 0.004 < changed.mean() < 0.35, thing


def test_the_first_pictures_have_the_labels_that_they_always_had():
    data = read_scenes("train", count=5)
    assert [data.example(i).present for i in range(5)] == [
        ("sky", "farm", "person", "cow", "chloe", "holiday", "family", "friends"),
        ("kitchen", "person", "cup", "cooking", "anna", "holiday", "family", "grandma", "lunch"),
        ("sky", "farm", "anna", "weekend", "poster"),
        ("sky", "mountain", "person", "chloe", "workday", "grandma"),
        (),
    ]
