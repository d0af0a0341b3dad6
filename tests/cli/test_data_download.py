"""`labelbeam data download`: terms first, then files that the readers read."""

import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from labelbeam.cli.app import with_messages
from labelbeam.cli.data import download
from labelbeam.data import download as published_data
from labelbeam.data.dataset import ReadOptions
from labelbeam.data.download import PUBLISHED, PublishedDataset, RemoteFile
from labelbeam.formats.registry import open_dataset

sys.path.insert(0, str(Path(__file__).parents[1]))

from unreliable_server import Site, served

app = typer.Typer()
app.command()(with_messages(download))

XML = "<annotation><object><name>{}</name><difficult>0</difficult></object></annotation>"
COCO = (
    '{"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 3, "name": "sheep"}], '
    '"annotations": [{"id": 1, "image_id": 1, "category_id": 3}]}'
)
ROWS = "ImageID,Source,LabelName,Confidence\n0a,verification,/m/1,1\n0a,verification,/m/2,0\n"
MEMBERS = {
    "VOCtrainval_06-Nov-2007.tar": {
        "VOCdevkit/VOC2007/Annotations/000001.xml": XML.format("sheep"),
        "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt": "000001\n",
    },
    "VOCtest_06-Nov-2007.tar": {
        "VOCdevkit/VOC2007/Annotations/000002.xml": XML.format("cow"),
        "VOCdevkit/VOC2007/ImageSets/Main/test.txt": "000002\n",
    },
    "VOCtrainval_11-May-2012.tar": {
        f"VOCdevkit/VOC2012/{name}": text
        for name, text in {
            "Annotations/2008_000001.xml": XML.format("sheep"),
            "ImageSets/Main/train.txt": "2008_000001\n",
            "ImageSets/Main/val.txt": "2008_000001\n",
        }.items()
    },
    **{
        f"annotations_trainval{year}.zip": {
            f"annotations/instances_{part}{year}.json": COCO for part in ("train", "val")
        }
        for year in (2014, 2017)
    },
    **{
        f"{part}{year}.zip": {f"{part}{year}/a.jpg": ""} for part in ("train", "val") for year in (2014, 2017)
    },
}
PLAIN = {
    "oidv7-class-descriptions.csv": "LabelName,DisplayName\n/m/1,Sheep\n/m/2,Cow\n",
    **{f"oidv7-{part}-annotations-human-imagelabels.csv": ROWS for part in ("train", "val", "test")},
}


def content_of(name: str) -> bytes:
    """What a file of this name holds here: the real one's layout with an image or two."""
    if name in PLAIN:
        return PLAIN[name].encode()
    content, members = io.BytesIO(), MEMBERS[name]
    if name.endswith(".zip"):
        with zipfile.ZipFile(content, "w") as packed:
            for member, text in members.items():
                packed.writestr(member, text)
    else:
        with tarfile.open(fileobj=content, mode="w") as packed:
            for member, text in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(text)
                packed.addfile(info, io.BytesIO(text.encode()))
    return content.getvalue()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A local server in place of every publisher, with files of the same names and layouts."""
    with served() as one:
        table = {}
        for name, real in PUBLISHED.items():
            if name == "nuswide":
                continue
            files = []
            for file in real.files:
                content = one.files[f"/{file.name}"] = content_of(file.name)
                sha = hashlib.sha256(content).hexdigest()
                files.append(
                    RemoteFile(f"{one.address}/{file.name}", file.holds, sha256=sha, source="the test")
                )
            table[name] = PublishedDataset(name, real.title, real.terms, tuple(files), real.specs, real.notes)
        monkeypatch.setattr(published_data, "PUBLISHED", table)
        yield one


def run(*arguments: object) -> Result:
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name != "nuswide"])
def test_what_it_prints_at_the_end_are_arguments_that_read_the_data(name, site, tmp_path):
    done = run(name, "--to", tmp_path, "--accept-terms")
    assert done.exit_code == 0, done.output
    folder, *specs = done.stdout.split()
    assert (folder, len(specs)) == (str(tmp_path / name), len(PUBLISHED[name].specs))
    for spec in specs:
        assert len(open_dataset(spec, options=ReadOptions(missing="keep"))) == 1


def test_terms_sizes_and_addresses_come_before_the_first_byte(tmp_path):
    done = run("coco2017", "--to", tmp_path / "data")
    assert done.exit_code == 2
    for word in ("Creative Commons", "termsofuse", "train2017.zip", "19,337 MB", "40.8 GB", "--accept-terms"):
        assert word in done.stderr, word
    assert not (tmp_path / "data").exists()
    labels = run("coco2017", "--to", tmp_path / "data", "--labels-only").stderr
    assert "train2017.zip" not in labels.replace("instances_train2017", "")
    assert "--labels-only --accept-terms" in labels


def test_a_file_without_a_published_checksum_is_named(tmp_path):
    told = run("nuswide", "--to", tmp_path).stderr
    for word in ("NUS-WIDE.zip", "no checksum is published", "optional", "cannot be fetched officially"):
        assert word in told, word


def test_labels_alone_come_without_images_and_a_second_call_fetches_nothing(site, tmp_path):
    assert run("coco2014", "--to", tmp_path, "--labels-only", "--accept-terms").exit_code == 0
    assert not (tmp_path / "coco2014" / "train2014").exists()
    site.asked.clear()
    again = run("coco2014", "--to", tmp_path, "--labels-only", "--accept-terms")
    assert (again.exit_code, site.asked) == (0, [])
    assert "there already" in again.stderr


def test_an_unknown_name_gets_the_nearest(tmp_path):
    done = run("coco2016", "--to", tmp_path, "--accept-terms")
    assert done.exit_code == 2
    assert "unknown published data set 'coco2016'" in done.stderr
    assert "voc2007" in done.stderr
