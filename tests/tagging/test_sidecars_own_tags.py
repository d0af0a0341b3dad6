"""What runs wrote and what people did to it since: own tags are replaced and taken back, others never touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.keywords import read_keywords
from labelbeam.formats.photo_metadata.photographs import sidecar_for
from labelbeam.formats.photo_metadata.written import RECORD
from labelbeam.formats.photo_metadata.xmp import new_packet, with_lists, xmp_lists
from labelbeam.predict.prediction import Prediction, ScoredLabel
from labelbeam.tagging.sidecars import KeywordChoices, Sidecars, untag

ALL = ("dc:subject", "lr:hierarchicalSubject", "digiKam:TagsList")


def said(image: Path, *labels: str) -> Prediction:
    return Prediction(str(image), tuple(ScoredLabel(one, 0.5, 0.5, 0.5, 0.0) for one in labels))


@contextmanager
def job(
    out: Path, kind: str = "xmp", *, run: str = "first 1234567890", **choices: object
) -> Iterator[Sidecars]:
    beside = Sidecars(
        kind, out, labels=["dog", "cat", "sea"], named=[], choices=KeywordChoices(run=run, **choices)
    )
    yield beside
    beside.finish()


def photograph(path: Path, **info: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path, **info)
    return path


def lists_of(sidecar: Path) -> dict[str, list[str]]:
    return xmp_lists(sidecar.read_bytes(), str(sidecar))


def edit(sidecar: Path, **lists: list[str]) -> None:
    """Change lists as a person's program would; `subject`, `hierarchical`, `tagslist`."""
    names = dict(zip(("subject", "hierarchical", "tagslist"), ALL, strict=True))
    told = {names[name]: entries for name, entries in lists.items()}
    sidecar.write_bytes(with_lists(sidecar.read_bytes(), told, "edit"))


def test_another_run_replaces_the_first_ones_tags_and_nobody_elses(tmp_path: Path) -> None:
    image = photograph(tmp_path / "a.jpg", xmp=new_packet({"dc:subject": ["Anna"]}))
    with job(tmp_path) as first:
        assert first.write(said(image, "dog", "cat")) == ""
    sidecar = tmp_path / "a.jpg.xmp"
    assert lists_of(sidecar) == {name: ["Anna", "dog", "cat"] for name in ALL}
    edit(sidecar, subject=["Anna", "dog", "cat", "holiday"])
    with job(tmp_path, run="second 22222222") as second:
        assert second.write(said(image, "cat", "sea")) == ""
    found = lists_of(sidecar)
    assert set(found["dc:subject"]) == {"Anna", "cat", "holiday", "sea"}
    assert found["digiKam:TagsList"] == ["Anna", "cat", "sea"]


def test_what_a_person_took_away_is_not_written_again_and_is_known_to_be_absent(tmp_path: Path) -> None:
    image = photograph(tmp_path / "a.jpg")
    photograph(tmp_path / "b.jpg", xmp=new_packet({"dc:subject": ["dog"]}))
    with job(tmp_path) as first:
        first.write(said(image, "dog", "cat"))
    edit(tmp_path / "a.jpg.xmp", subject=["cat", "sea"])
    with job(tmp_path) as again:
        again.write(said(image, "dog", "cat"))
    assert lists_of(tmp_path / "a.jpg.xmp")["digiKam:TagsList"] == ["cat"]
    learnt = read_keywords(tmp_path, "", options=ReadOptions(machine_tags="unknown"))
    assert learnt.vocabulary.names == ("cat", "dog", "sea")
    assert learnt.targets.tolist() == [[-1, 0, 1], [0, 1, 0]], (
        "cat is a run's word, dog was taken away, sea added"
    )
    assert read_keywords(tmp_path, "").example(0).present == ("cat", "sea")


def test_a_tag_moved_into_a_hierarchy_is_a_persons(tmp_path: Path) -> None:
    image = photograph(tmp_path / "a.jpg")
    with job(tmp_path) as first:
        first.write(said(image, "dog"))
    sidecar = tmp_path / "a.jpg.xmp"
    edit(sidecar, hierarchical=["Animals|dog"], tagslist=["Animals/dog"])
    with job(tmp_path, run="second 2222222") as second:
        second.write(said(image))
    assert lists_of(sidecar) == dict(zip(ALL, (["dog"], ["Animals|dog"], ["Animals/dog"]), strict=True))


def test_a_program_that_drops_all_lists_says_nothing_about_what_is_on_a_photograph(tmp_path: Path) -> None:
    image = photograph(tmp_path / "a.jpg")
    photograph(tmp_path / "b.jpg", xmp=new_packet({"dc:subject": ["dog"]}))
    with job(tmp_path) as first:
        first.write(said(image, "dog"))
    (tmp_path / "a.jpg.xmp").write_bytes(new_packet({}))
    with job(tmp_path) as again:
        again.write(said(image, "dog"))
    assert lists_of(tmp_path / "a.jpg.xmp") == {}
    learnt = read_keywords(tmp_path, "", options=ReadOptions(machine_tags="unknown"))
    assert learnt.targets.tolist() == [[-1], [1]]


def test_untag_leaves_every_file_as_it_was_before(tmp_path: Path) -> None:
    photos = tmp_path / "p"
    rated = new_packet({}).replace(
        b'rdf:about=""', b'rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"'
    )
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        photograph(photos / name, xmp=new_packet({"dc:subject": ["Anna"]}))
    (photos / "b.jpg.xmp").write_bytes(rated)
    (photos / "c.jpg.xmp").write_bytes(new_packet({"dc:subject": ["x"], "digiKam:TagsList": ["y/x"]}))
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    with job(photos, root="auto") as first:
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            first.write(said(photos / name, "dog", "cat"))
    assert lists_of(photos / "c.jpg.xmp") == {
        "dc:subject": ["x", "dog", "cat"],
        "lr:hierarchicalSubject": ["y|x", "auto|dog", "auto|cat"],
        "digiKam:TagsList": ["y/x", "auto/dog", "auto/cat"],
    }
    with pytest.raises(InputError, match=r"no tags of a run 'other' .* first 1234567890"):
        untag(photos, "other")
    done = untag(photos, "first")
    assert (done.tags, done.files, done.not_written) == (6, 3, {})
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    with pytest.raises(InputError, match="no record"):
        untag(photos)


def test_untag_keeps_what_a_person_added_to_a_sidecar_that_a_run_made(tmp_path: Path) -> None:
    image = photograph(tmp_path / "a.jpg")
    with job(tmp_path) as first:
        first.write(said(image, "dog"))
    edit(tmp_path / "a.jpg.xmp", subject=["dog", "Anna"])
    untag(tmp_path)
    assert lists_of(tmp_path / "a.jpg.xmp")["dc:subject"] == ["Anna"]


def test_text_files_of_a_run_are_replaced_and_taken_back_and_edited_ones_are_not(tmp_path: Path) -> None:
    one, two = photograph(tmp_path / "a.jpg"), photograph(tmp_path / "b.jpg")
    with job(tmp_path, "txt") as first:
        first.write(said(one, "dog"))
        first.write(said(two, "dog"))
    (tmp_path / "b.txt").write_text("dog, Anna\n")
    with job(tmp_path, "txt", run="second 22222") as second:
        assert second.write(said(one, "cat")) == ""
        assert "other content" in second.write(said(two, "cat"))
    assert [(tmp_path / name).read_text() for name in ("a.txt", "b.txt")] == ["cat\n", "dog, Anna\n"]
    untag(tmp_path)
    assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "b.txt").read_text() == "dog, Anna\n"


def test_one_photographs_sidecar_is_one_photographs_over_folders_and_jobs(tmp_path: Path) -> None:
    images = [photograph(tmp_path / name) for name in ("A/x/1.jpg", "A/y/2.jpg", "B/x/1.jpg", "B/y/2.jpg")]
    out = tmp_path / "out"
    choices = {"labels": ["dog", "cat"], "named": [str(tmp_path / "A"), str(tmp_path / "B")]}
    for _ in range(2):
        beside = Sidecars("xmp", out, **choices)
        told = [
            beside.write(said(image, label))
            for image, label in zip(images, ("dog", "dog", "cat", "cat"), strict=True)
        ]
        beside.finish()
        assert told[:2] == ["", ""]
        assert all("is the file of" in why for why in told[2:])
        assert lists_of(out / "x" / "1.jpg.xmp")["dc:subject"] == ["dog"]
    images[0].unlink()
    beside = Sidecars("xmp", out, **choices)
    assert beside.write(said(images[2], "cat")) == "", "the first photograph is gone, and its sidecar is free"
    beside.finish()
    assert lists_of(out / "x" / "1.jpg.xmp")["dc:subject"] == ["cat"]


def test_a_kill_between_record_and_sidecar_loses_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photograph(tmp_path / "a.jpg")
    beside = Sidecars("xmp", tmp_path, labels=["dog"], named=[])
    with monkeypatch.context() as patch:
        patch.setattr("labelbeam.tagging.sidecars.photographs.write_sidecar", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            beside.write(said(image, "dog"))
    beside.close()
    with job(tmp_path) as again:
        assert again.write(said(image, "dog")) == ""
    assert lists_of(tmp_path / "a.jpg.xmp")["dc:subject"] == ["dog"], "not taken for a person's removal"
    assert not (tmp_path / (RECORD + ".partial")).exists()


def test_links_modes_and_files_that_cannot_be_written(tmp_path: Path) -> None:
    store = photograph(tmp_path / "store" / "k.jpg")
    photos = tmp_path / "p"
    photos.mkdir()
    (photos / "a.jpg").symlink_to(store)
    photograph(photos / ("x" * 240 + ".jpg"))
    photograph(photos / ("y" * 250 + ".jpg"))
    photograph(photos / "folder.jpg")
    (photos / "folder.jpg.xmp").mkdir()
    for name, mode in (("closed.jpg", 0o444), ("kept.jpg", 0o640)):
        photograph(photos / name)
        (photos / f"{name}.xmp").write_bytes(new_packet({"dc:subject": ["Anna"]}))
        (photos / f"{name}.xmp").chmod(mode)
    photograph(photos / "linked.jpg")
    (tmp_path / "elsewhere.xmp").write_bytes(new_packet({"dc:subject": ["Anna"]}))
    (photos / "linked.jpg.xmp").symlink_to(tmp_path / "elsewhere.xmp")
    with job(photos) as beside:
        told = {image.name: beside.write(said(image, "dog")) for image in sorted(photos.glob("*.jpg"))}
    assert (photos / "a.jpg.xmp").exists(), "beside the link, not beside what it leads to"
    assert "is no file but a folder" in told["folder.jpg"]
    assert "is read-only" in told["closed.jpg"]
    assert "cannot be used (File name too long)" in told["y" * 250 + ".jpg"]
    assert sum(bool(why) for why in told.values()) == 3
    assert (photos / ("x" * 240 + ".jpg.xmp")).exists()
    assert (photos / "kept.jpg.xmp").stat().st_mode & 0o777 == 0o640
    assert (photos / "linked.jpg.xmp").is_symlink()
    assert lists_of(tmp_path / "elsewhere.xmp")["dc:subject"] == ["Anna", "dog"]


@pytest.mark.parametrize(
    ("naming", "sidecars"),
    [
        ("auto", ["a.xmp", "a.jpg.xmp", "b.jpg.xmp"]),
        ("full", ["a.CR2.xmp", "a.jpg.xmp", "b.jpg.xmp"]),
        ("adobe", ["a.xmp", "a.jpg.xmp", "b.xmp"]),
    ],
)
def test_a_raw_photograph_and_its_jpeg_have_a_sidecar_each(
    tmp_path: Path, naming: str, sidecars: list[str]
) -> None:
    for name in ("a.CR2", "a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    found = [sidecar_for(tmp_path / name, naming).name for name in ("a.CR2", "a.jpg", "b.jpg")]
    assert found == sidecars
    if naming != "full":
        (tmp_path / "a.xmp").write_bytes(new_packet({"dc:subject": ["Anna"]}))
        assert sidecar_for(tmp_path / "a.jpg", naming).name == "a.jpg.xmp"
        assert read_keywords(tmp_path, "").example(0).present == ("Anna",), "they are one photograph"


def test_the_pages_export_merges_into_sidecars_and_its_rejections_are_kept(tmp_path: Path) -> None:
    from labelbeam.labels.vocabulary import ABSENT, PRESENT
    from labelbeam.project.project_file import Project
    from labelbeam.project.schema import Change
    from labelbeam.service.project_export import write_beside

    photos = tmp_path / "p"
    images = [photograph(photos / "x" / "a.png"), photograph(photos / "b.jpg")]
    rated = new_packet({"dc:subject": ["Anna"]}).replace(
        b'rdf:about=""', b'rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"'
    )
    (photos / "b.jpg.xmp").write_bytes(rated)
    with job(photos) as first:
        first.write(said(images[1], "dog", "cat"))
    with Project(tmp_path / "x.lbp") as project:
        project.add_labels(["dog", "cat"])
        one, two = (project.add_reference(image, name=image.name) for image in images)
        project.decide(
            [Change(one.id, "cat", PRESENT), Change(two.id, "dog", ABSENT), Change(two.id, "cat", PRESENT)]
        )
        assert write_beside(project)[0] == 2
    found = (photos / "b.jpg.xmp").read_bytes()
    assert b'xmp:Rating="4"' in found
    assert lists_of(photos / "b.jpg.xmp") == {name: ["Anna", "cat"] for name in ALL}
    assert lists_of(photos / "x/a.png.xmp") == {name: ["cat"] for name in ALL}
    with job(photos, run="second 22222") as second:
        second.write(said(images[1], "dog", "sea"))
    assert lists_of(photos / "b.jpg.xmp")["dc:subject"] == ["Anna", "cat", "sea"], (
        "dog never, cat is a person's"
    )
