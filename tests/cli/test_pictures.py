"""Pictures as they come from cameras, scanners, telephones and the web, through `tag` and `train`."""

import json
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features


@pytest.fixture(scope="module")
def picture(drawn: Path) -> Image.Image:
    return Image.open(drawn / "00005.png").convert("RGB")


def sixteen_bit(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)


def with_alpha(picture: Image.Image) -> Image.Image:
    return Image.merge("RGBA", (*picture.split(), Image.new("L", picture.size, 255)))


def turned(picture: Image.Image, path: Path) -> None:
    """Stored on its side, with the mark that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


SAVED = {
    "plain.png": lambda picture, path: picture.save(path),
    "cmyk.tif": lambda picture, path: picture.convert("CMYK").save(path),
    "palette.png": lambda picture, path: picture.quantize(256).save(path),
    "alpha.png": lambda picture, path: with_alpha(picture).save(path),
    "turned.png": turned,
    "animated.gif": lambda picture, path: picture.save(
        path, save_all=True, append_images=[Image.new("RGB", picture.size)]
    ),
    "web.webp": lambda picture, path: picture.save(path, lossless=True),
    "name without a suffix": lambda picture, path: picture.save(path, "PNG"),
    "写真.png": lambda picture, path: picture.save(path),
}


@pytest.mark.parametrize("name", SAVED)
def test_the_same_picture_gets_the_same_labels_however_it_is_stored(
    name, picture, finished, command, tmp_path
):
    picture.save(tmp_path / "reference.png")
    SAVED[name](picture, tmp_path / name)
    done = command("tag", finished, tmp_path / "reference.png", tmp_path / name, "--json", "--all-scores")
    assert done.exit_code == 0, done.output
    reference, ours = map(json.loads, done.stdout.splitlines())
    assert "error" not in ours
    # A palette of 256 colours and CMYK's rounding move scores a little.
    assert ours["scores"] == pytest.approx(reference["scores"], abs=0.06)


@pytest.mark.parametrize("mode", ["L", "1", "I;16", "LA"])
def test_pictures_without_colour_are_read(mode, picture, finished, command, tmp_path):
    (sixteen_bit(picture) if mode == "I;16" else picture.convert(mode)).save(tmp_path / "a.png")
    done = command("tag", finished, tmp_path / "a.png", "--json")
    assert "labels" in json.loads(done.stdout)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read(picture, finished, command, tmp_path):
    picture.save(tmp_path / "a.avif")
    assert "labels" in json.loads(command("tag", finished, tmp_path / "a.avif", "--json").stdout)


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="needs the extra 'heif'")
def test_heic_is_read_with_the_extra_which_the_error_names_without_it(
    picture, finished, command, tmp_path, monkeypatch
):
    import pillow_heif

    pillow_heif.from_pillow(picture).save(tmp_path / "a.heic")
    assert "labels" in json.loads(command("tag", finished, tmp_path / "a.heic", "--json").stdout)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    done = command("tag", finished, tmp_path / "a.heic", "--json")
    assert done.exit_code == 2  # nothing could be read
    assert "pip install 'labelbeam[heif]'" in json.loads(done.stdout)["error"]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_hundred_megapixels_are_tagged_and_two_hundred_refused(finished, command, tmp_path):
    Image.new("1", (10_000, 10_000), 1).save(tmp_path / "large.png")
    Image.new("1", (20_000, 10_000), 1).save(tmp_path / "too large.png")
    done = command("tag", finished, tmp_path / "large.png", tmp_path / "too large.png", "--json")
    large, too_large = map(json.loads, done.stdout.splitlines())
    assert "labels" in large
    assert "too many pixels" in too_large["error"]


def test_broken_files_are_lines_of_tag_and_are_left_out_of_training(train, drawn, command, tmp_path):
    folder = Path(shutil.copytree(drawn, tmp_path / "photos"))
    whole = (folder / "00000.png").read_bytes()
    (folder / "00000.png").write_bytes(whole[: len(whole) // 2])
    (folder / "00001.png").write_bytes(b"<!doctype html><html>404</html>")
    (folder / "00002.png").write_bytes(b"")
    out = tmp_path / "run"
    done = command(
        *("train", "--data", f"csv:{folder / 'tags.csv'}#train", "--out", out, "--finetune"),
        *("--encoder", "tiny", "--set", "encoder.width=16", "--size", 32, "--epochs", 1),
        *("--set", "label_model.hidden_size=16", "--val-fraction", 0.25),
    )
    assert done.exit_code == 0, done.output
    assert "cannot be read and are left out" in done.stderr
    trained = train(tmp_path / "frozen", "--data", f"csv:{folder / 'tags.csv'}#train", "--epochs", 1)
    tagged = command("tag", trained, folder, "--json")
    lines = [json.loads(line) for line in tagged.stdout.splitlines()]
    assert [Path(line["image"]).name for line in lines] == sorted(path.name for path in folder.glob("*.png"))
    assert ["error" in line for line in lines] == [True] * 3 + [False] * 57
    assert "a web page" in lines[1]["error"]
    assert "empty (0 bytes)" in lines[2]["error"]
    assert "3 of 60 files could not be read" in tagged.stderr


@pytest.mark.parametrize(
    ("encoding", "options"),
    [("utf-8-sig", []), ("cp932", ["--encoding", "cp932"]), ("utf-16", ["--encoding", "utf-16"])],
)
def test_japanese_labels_train_and_come_back_whatever_the_encoding(
    encoding, options, train, command, drawn, tmp_path
):
    for i in range(20):
        shutil.copyfile(drawn / f"{i:05d}.png", tmp_path / f"{i}.png")
    rows = "".join(f"{i}.png,{'猫、犬' if i % 2 else '人物'}\n" for i in range(20))
    (tmp_path / "札.csv").write_bytes(("image,tags\n" + rows).encode(encoding))
    run = train(tmp_path / "run", "--data", f"csv:{tmp_path / '札.csv'}", *options, "--drop-unlabelled")
    assert set(json.loads((run / "labels.json").read_text(encoding="utf-8"))["names"]) == {"猫", "犬", "人物"}
    page, out = tmp_path / "p.html", tmp_path / "o.jsonl"
    done = command("tag", run, tmp_path / "0.png", "--threshold", 0, "--out", out, "--page", page)
    assert done.exit_code == 0, done.output
    assert "人物" in out.read_text(encoding="utf-8")
    assert "人物" in page.read_text(encoding="utf-8")


def test_repeated_rows_and_empty_cells_are_handled_and_reported(train, command, drawn, tmp_path):
    for i in range(12):
        shutil.copyfile(drawn / f"{i:05d}.png", tmp_path / f"{i}.png")
    rows = "".join(f"{i}.png,{'cat;dog' if i % 2 else 'dog'}\n" for i in range(12))
    (tmp_path / "t.csv").write_text("image,tags\n" + rows + "0.png,dog\n")
    (tmp_path / "v.csv").write_text("image,tags\n" + rows.replace("0.png,dog", "0.png,NaN"))
    trained = command(
        *("train", "--data", f"csv:{tmp_path / 't.csv'}", "--val", f"csv:{tmp_path / 'v.csv'}"),
        *("--out", tmp_path / "run", "--encoder", "tiny", "--finetune", "--set", "encoder.width=16"),
        *("--size", 32, "--epochs", 1, "--set", "label_model.hidden_size=16"),
    )
    assert trained.exit_code == 0, trained.output
    assert "1 rows repeat an image with the same labels and were merged: 0.png" in trained.stderr
    assert "2 images without a label" in trained.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere want Unicode")
def test_names_that_are_not_unicode_are_tagged_and_written(finished, command, drawn, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    shutil.copyfile(drawn / "00000.png", os.fsdecode(name))
    for options in ([], ["--json"], ["--page", tmp_path / "p.html"]):
        done = command("tag", finished, tmp_path, *options)
        assert done.exit_code == 0, done.output
        assert "caf\\udce9.png" in done.stdout
    command("tag", finished, tmp_path, "--out", tmp_path / "o.jsonl")
    line = json.loads((tmp_path / "o.jsonl").read_text(encoding="utf-8"))
    assert os.fsencode(line["image"]) == name
