"""Keywords that photographs carry: IPTC, XMP in every kind of file, sidecars; written by exiftool where it is."""

import shutil
import subprocess
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from labelbeam.data.dataset import ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.keywords import read_keywords
from labelbeam.formats.photo_metadata.embedded import iptc_keywords
from labelbeam.formats.photo_metadata.keyword_lists import without_programs
from labelbeam.formats.photo_metadata.xmp import new_packet, xmp_keywords

EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(
    EXIFTOOL is None, reason="needs exiftool (apt install libimage-exiftool-perl)"
)


def packet(body: str) -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:lr="http://ns.adobe.com/lightroom/1.0/">'
        f"{body}</rdf:Description></rdf:RDF></x:xmpmeta>" + " " * 50 + '<?xpacket end="w"?>'
    ).encode()


def bag(name: str, *items: str, kind: str = "Bag") -> str:
    listed = "".join(f"<rdf:li>{item}</rdf:li>" for item in items)
    return f"<{name}><rdf:{kind}>{listed}</rdf:{kind}></{name}>"


def data_set(record: int, number: int, value: bytes) -> bytes:
    return bytes([0x1C, record, number]) + len(value).to_bytes(2, "big") + value


def save(path: Path, *, xmp: bytes = b"", iptc: bytes = b"") -> Path:
    """Write a picture that carries metadata; its suffix says what it is."""
    image = Image.new("RGB", (8, 6), (200, 30, 30))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".heic":
        pillow_heif.from_pillow(image).save(path, xmp=xmp)
    elif path.suffix == ".png":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=path.stem == "zipped")
        image.save(path, pnginfo=info)
    elif path.suffix == ".tif":
        image.save(path, tiffinfo={700: xmp, 33723: iptc})
    else:
        image.save(path, **({"xmp": xmp} if xmp else {}))
    if iptc and path.suffix == ".jpg":
        resources = (
            b"8BIM\x04\x22\x03abc\0\0\0\x03xyz\0" + b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc
        )
        segment = b"Photoshop 3.0\0" + resources
        raw = path.read_bytes()
        path.write_bytes(
            raw[:2] + b"\xff\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment + raw[2:]
        )
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "zipped.png", "a.webp", "a.tif", "a.heic", "a.avif"])
def test_subjects_are_read_from_every_kind_of_file(tmp_path, name):
    save(tmp_path / "photos" / name, xmp=packet(bag("dc:subject", "cat", "海 &amp; Meer", "cat")))
    dataset = read_keywords(tmp_path / "photos", "")
    assert dataset.images == (name,)
    assert dataset.example(0).present == ("cat", "海 & Meer")
    assert "keywords of XMP (1 images)" in dataset.notes[0]


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_iptc_keywords_are_read_and_put_together_with_xmp(tmp_path, name):
    iptc = (
        data_set(2, 0, b"\0\4")
        + data_set(2, 25, b"dog")
        + data_set(2, 120, b"a dog")
        + data_set(2, 25, b"cat")
    )
    save(tmp_path / name, xmp=packet(bag("dc:subject", "cat", "sea")), iptc=iptc)
    dataset = read_keywords(tmp_path, "")
    assert dataset.example(0).present == ("cat", "dog", "sea")
    assert "XMP and IPTC of 1 images differ" in dataset.notes[1]


def test_the_encoding_of_iptc_is_the_marked_one_or_utf8_or_windows_and_the_last_is_said(tmp_path):
    marked = data_set(1, 90, b"\x1b%G") + data_set(2, 25, "café".encode())
    assert iptc_keywords(marked) == (["café"], "utf-8")
    assert iptc_keywords(data_set(2, 25, "海".encode())) == (["海"], "utf-8")
    save(tmp_path / "a.jpg", iptc=data_set(2, 25, "cœur".encode("cp1252")) + data_set(2, 25, b"\x81\xe9"))
    dataset = read_keywords(tmp_path, "")
    assert dataset.example(0).present == ("cœur", "é"), "a byte that means nothing is a blank"
    assert "IPTC keywords of 1 images name no encoding" in dataset.notes[1]


def test_a_long_value_has_an_extended_length():
    value = b"x" * 40_000
    assert iptc_keywords(b"\x1c\x02\x19\x80\x04" + len(value).to_bytes(4, "big") + value)[0] == [
        value.decode()
    ]


def test_of_hierarchies_the_last_level_is_read_beside_flat_keywords():
    levels = bag("lr:hierarchicalSubject", "Animal|Dog", "Place")
    assert xmp_keywords(packet(levels), "a.xmp") == ["Dog", "Place"]
    assert xmp_keywords(packet(levels + bag("dc:subject", "cat", kind="Seq")), "a.xmp") == [
        "cat",
        "Dog",
        "Place",
    ]
    assert xmp_keywords(packet(""), "a.xmp") is None
    assert xmp_keywords(packet(bag("dc:subject")), "a.xmp") == []


@pytest.mark.parametrize("sidecar", ["a.jpg.xmp", "a.xmp"])
def test_a_sidecar_with_subjects_decides_alone(tmp_path, sidecar):
    save(tmp_path / "a.jpg", xmp=packet(bag("dc:subject", "cat")))
    (tmp_path / sidecar).write_bytes(new_packet({"dc:subject": ["dog"]}))
    assert read_keywords(tmp_path, "").example(0).present == ("dog",)
    (tmp_path / sidecar).write_bytes(packet("<dc:title>no list of keywords</dc:title>"))
    assert read_keywords(tmp_path, "").example(0).present == ("cat",)


def test_of_two_sidecars_the_one_with_the_whole_name_counts(tmp_path):
    save(tmp_path / "a.jpg")
    (tmp_path / "a.xmp").write_bytes(new_packet({"dc:subject": ["cat"]}))
    (tmp_path / "a.jpg.xmp").write_bytes(new_packet({"dc:subject": ["dog"]}))
    assert read_keywords(tmp_path, "").example(0).present == ("dog",)


def test_a_pattern_is_read_and_keys_start_at_its_first_wildcard(tmp_path, monkeypatch):
    save(tmp_path / "photos/2023/a.jpg", xmp=packet(bag("dc:subject", "cat")))
    save(tmp_path / "photos/2024/a.jpg", xmp=packet(bag("dc:subject", "dog")))
    save(tmp_path / "photos/2024/b.png", xmp=packet(bag("dc:subject", "sea")))
    monkeypatch.chdir(tmp_path)
    dataset = read_keywords(Path("photos/20*/*.jpg"), "")
    assert (dataset.root, dataset.images) == (Path("photos"), ("2023/a.jpg", "2024/a.jpg"))
    assert dataset.vocabulary.names == ("cat", "dog")


def test_damaged_metadata_are_noted_and_the_other_photographs_read(tmp_path):
    save(tmp_path / "a.jpg", xmp=packet(bag("dc:subject", "cat")))
    save(tmp_path / "b.jpg", xmp=b"<x:xmpmeta ")
    (tmp_path / "c.jpg").write_bytes(b"\xff\xd8\xff\xe1\xff")
    dataset = read_keywords(tmp_path, "")
    assert dataset.targets.tolist() == [[1], [0], [0]]
    assert "metadata of 2 images cannot be read" in dataset.notes[1]
    assert "b.jpg" in dataset.notes[1]


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE a><a/>", b"\xff\xfe"])
def test_one_damaged_sidecar_is_noted_and_the_others_are_read(tmp_path, content):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.jpg", xmp=packet(bag("dc:subject", f"inside {name}")))
    (tmp_path / "a.jpg.xmp").write_bytes(new_packet({"dc:subject": ["dog"]}))
    (tmp_path / "b.jpg.xmp").write_bytes(content)
    dataset = read_keywords(tmp_path, "")
    assert [dataset.example(i).present for i in range(2)] == [("dog",), ("inside b",)]
    assert "metadata of 1 images cannot be read" in dataset.notes[1]
    assert "b.jpg.xmp" in dataset.notes[1]


def test_a_sidecar_in_capitals_is_one(tmp_path):
    save(tmp_path / "A.JPG".lower()).rename(tmp_path / "A.JPG")
    (tmp_path / "A.XMP").write_bytes(new_packet({"dc:subject": ["dog"]}))
    assert read_keywords(tmp_path, "").example(0).present == ("dog",)


def test_the_level_of_a_hierarchy_that_is_the_label_is_an_option(tmp_path):
    lists = {
        "dc:subject": ["Dog", "Anna"],
        "lr:hierarchicalSubject": ["Animals|Dog"],
        "digiKam:TagsList": ["Places/Rome"],
    }
    save(tmp_path / "a.jpg", xmp=new_packet(lists))
    labels = {
        level: read_keywords(tmp_path, "", options=ReadOptions(keyword_level=level)).vocabulary.names
        for level in ("leaf", "top", "path", "all")
    }
    assert labels == {
        "leaf": ("Anna", "Dog", "Rome"),
        "top": ("Animals", "Anna", "Places"),
        "path": ("Animals|Dog", "Anna", "Places|Rome"),
        "all": ("Animals", "Anna", "Dog", "Places", "Rome"),
    }


@pytest.mark.parametrize(
    ("prepare", "argument", "split", "words"),
    [
        (lambda folder: save(folder / "a.jpg"), ".", "", ["no image has a label"]),
        (lambda folder: None, ".", "", ["no image in"]),
        (lambda folder: None, "*.jpg", "", ["no file matches"]),
        (lambda folder: None, "lost", "", ["does not exist"]),
        (lambda folder: save(folder / "a.jpg"), ".", "train", ["no splits", "#train"]),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, monkeypatch, prepare, argument, split, words):
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    with pytest.raises(InputError) as error:
        read_keywords(Path(argument), split)
    assert all(word in str(error.value) for word in words), error.value


def test_pixels_are_not_read(tmp_path):
    path = save(tmp_path / "a.jpg", xmp=packet(bag("dc:subject", "cat")))
    raw = path.read_bytes()
    path.write_bytes(raw[: raw.index(b"\xff\xda") + 2])
    assert read_keywords(tmp_path, "").example(0).present == ("cat",)


@needs_exiftool
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_keywords_that_exiftool_wrote_are_read(tmp_path, suffix):
    for name in ("xmp", "iptc"):
        if name == "iptc" and suffix in {"png", "webp"}:
            continue
        path = tmp_path / f"{name}.{suffix}"
        Image.new("RGB", (8, 6)).save(path)
        tag = "XMP-dc:Subject" if name == "xmp" else "IPTC:Keywords"
        subprocess.run(
            [
                EXIFTOOL,
                "-q",
                "-overwrite_original",
                "-codedcharacterset=utf8",
                f"-{tag}=海",
                f"-{tag}=two words",
                path,
            ],
            check=True,
        )
    dataset = read_keywords(tmp_path, "")
    assert [set(dataset.example(i).present) for i in range(len(dataset))] == [{"海", "two words"}] * len(
        dataset
    )


def test_what_a_program_keeps_for_itself_is_no_keyword_unless_people_use_the_word_too():
    lists = {
        "dc:subject": ["beach", "changed", "darktable", "format", "jpg", "places"],
        "lr:hierarchicalSubject": ["darktable|changed", "darktable|format|jpg", "places|beach|format"],
    }
    assert without_programs(lists) == {
        "dc:subject": ["beach", "format", "places"],
        "lr:hierarchicalSubject": ["places|beach|format"],
    }


def test_sidecars_in_other_encodings_are_read_and_said(tmp_path):
    save(tmp_path / "a.jpg")
    text = packet(bag("dc:subject", "café")).decode().replace("\ufeff", "")
    (tmp_path / "a.jpg.xmp").write_bytes(text.encode("cp1252"))
    data = read_keywords(tmp_path, "")
    assert data.vocabulary.names == ("café",)
    assert any("Windows-1252" in note for note in data.notes)
    (tmp_path / "a.jpg.xmp").write_bytes(('<?xml version="1.0" encoding="UTF-16"?>' + text).encode("utf-16"))
    assert read_keywords(tmp_path, "").vocabulary.names == ("café",)


def test_lists_of_other_programs_that_stand_alone_are_counted(tmp_path):
    save(tmp_path / "a.jpg", xmp=packet(bag("dc:subject", "cat")))
    save(tmp_path / "b.jpg")
    other = bag("MicrosoftPhoto:LastKeywordXMP", "dog").replace(">", ' xmlns:MicrosoftPhoto="urn:m">', 1)
    (tmp_path / "b.jpg.xmp").write_bytes(packet(other))
    notes = read_keywords(tmp_path, "").notes
    assert any("1 images have keywords in MicrosoftPhoto:LastKeywordXMP alone" in note for note in notes)
    inside = other.replace("dog", "ant")
    save(tmp_path / "c.jpg", xmp=packet(inside))  # embedded, it is no less lost
    notes = read_keywords(tmp_path, "").notes
    assert any("2 images have keywords in MicrosoftPhoto:LastKeywordXMP alone" in note for note in notes)


def test_an_encoding_that_is_named_holds_for_iptc_that_does_not_say_utf8(tmp_path):
    word = "Höhe".encode("mac-roman")
    save(tmp_path / "a.jpg", iptc=data_set(2, 25, word))
    marked = data_set(1, 90, b"\x1b%G") + data_set(2, 25, "Tür".encode())
    save(tmp_path / "b.jpg", iptc=marked)
    data = read_keywords(tmp_path, "", options=ReadOptions(encoding="mac-roman"))
    assert data.vocabulary.names == ("Höhe", "Tür")
    with pytest.raises(InputError, match="no encoding 'klingon'"):
        read_keywords(tmp_path, "", options=ReadOptions(encoding="klingon"))


def test_sidecars_that_are_not_read_are_said(tmp_path):
    save(tmp_path / "a.jpg")
    for name in ("a.jpg.xmp", "a.xmp", "a_01.jpg.xmp", "gone.xmp"):
        (tmp_path / name).write_bytes(packet(bag("dc:subject", "cat")))
    (tmp_path / "empty.xmp").write_bytes(packet(""))
    data = read_keywords(tmp_path, "")
    assert any("3 sidecars were not read" in n and "a.xmp, a_01.jpg.xmp, gone.xmp" in n for n in data.notes)
    pattern = read_keywords(tmp_path / "*.jpg", "")  # which leaves out what it does not name
    assert not any("sidecars were not read" in note for note in pattern.notes)


def test_several_keywords_in_one_are_said(tmp_path):
    for name, words in (("a", ["cat;dog"]), ("b", ["cat", "dog", "shoes, clothing"])):
        save(tmp_path / f"{name}.jpg", xmp=packet(bag("dc:subject", *words)))
    data = read_keywords(tmp_path, "")
    assert any(note.startswith("1 labels hold others") and "'cat;dog'" in note for note in data.notes)
