"""Files with bytes lost, added or changed: read, or an error in words; never a traceback, never a hang."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.formats.photo_metadata.xmp import new_packet
from labelbeam.formats.registry import open_dataset, write_dataset
from labelbeam.labels.vocabulary import Vocabulary

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

KEEP = ReadOptions(missing="keep")

IPTC = b"\x1c\x02\x19\x00\x03dog\x1c\x01\x5a\x00\x03\x1b%G"


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def vector(values: list[int]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values, dtype=np.int64))
    return buffer.getvalue()


def picture(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), 90).save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg_with_iptc() -> bytes:
    resource = b"8BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC
    segment = b"Photoshop 3.0\0" + resource
    plain = picture("JPEG", xmp=new_packet({"dc:subject": ["cat"]}))
    return plain[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2, "big") + segment + plain[2:]


def written(folder: Path, format_name: str, place: str, file: str) -> bytes:
    (folder / "photos").mkdir(exist_ok=True)
    for name in "ab":
        (folder / f"photos/{name}.jpg").write_bytes(b"x")
    targets = np.array([[1, 0], [-1, 1]], dtype=np.int8)
    dataset = Dataset("csv:x", folder / "photos", ("a.jpg", "b.jpg"), Vocabulary(("cat", "海")), targets)
    write_dataset(dataset, f"{format_name}:{folder / place}", images="copy")
    return (folder / file).read_bytes()


JSON_MIN = [{"image": "a.jpg", "id": 1, "choice": {"choices": ["cat"]}}, {"image": "b.jpg", "choice": "dog"}]

CASES = {
    # format: (path of the file that is damaged, its content or how it is written, argument)
    "labelstudio": ("t/t.json", "t/t.json", "t/t.json"),
    "labelstudio min": ("min.json", json.dumps(JSON_MIN).encode(), "min.json"),
    "labelstudio csv": ("a.csv", b'image,id,choice\na.jpg,1,"{""choices"": [""a"", ""b""]}"\n', "a.csv"),
    "labelstudio config": ("t/t.xml", "t/t.json", "t/t.json"),
    "cvat": ("t/a.xml", "t/a.xml", "t/a.xml"),
    "fiftyone": ("t/labels.json", "t", "t"),
    "openimages": ("t/train-annotations-human-imagelabels.csv", "t", "t"),
    "openimages names": ("t/class-descriptions.csv", "t", "t"),
    "webdataset": ("t/shard-000000.tar", "t", "t"),
    "webdataset npy": (
        "a.tar",
        packed({"a.jpg": b"x", "a.npy": vector([0, 1])}),
        "a.tar",
    ),
    "webdataset txt": ("a.tar", packed({"ä" * 80 + ".jpg": b"x", "ä" * 80 + ".txt": b"cat;dog"}), "a.tar"),
    "keywords jpeg": ("p/a.jpg", jpeg_with_iptc(), "p"),
    "keywords png": ("p/a.png", None, "p"),
    "keywords webp": ("p/a.webp", picture("WEBP", xmp=new_packet({"dc:subject": ["cat"]})), "p"),
    "keywords tiff": (
        "p/a.tif",
        picture("TIFF", tiffinfo={700: new_packet({"dc:subject": ["cat"]}), 33723: IPTC}),
        "p",
    ),
    "keywords avif": ("p/a.avif", picture("AVIF", xmp=new_packet({"dc:subject": ["cat"]})), "p"),
    "keywords sidecar": ("p/a.jpg.xmp", new_packet({"dc:subject": ["cat", "海"]}), "p"),
}


def png_with_xmp() -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", new_packet({"dc:subject": ["cat"]}).decode(), zip=True)
    return picture("PNG", pnginfo=info)


@pytest.fixture
def whole(request, tmp_path) -> tuple[Path, str]:
    """A good file in place, and the argument that reads it."""
    file, content, argument = CASES[request.param]
    format_name = request.param.split()[0]
    if isinstance(content, str):
        written(tmp_path, format_name, content, file)
    else:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(png_with_xmp() if content is None else content)
    (tmp_path / "p").mkdir(exist_ok=True)
    (tmp_path / "p/a.jpg").touch()
    (tmp_path / "p/z.jpg").write_bytes(jpeg_with_iptc())  # so that some keyword is always there
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    return tmp_path / file, f"{format_name}:{tmp_path / argument}"


changes = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.floats(0, 1), st.just(b"")),
        st.tuples(st.just("delete"), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
        st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
        st.tuples(st.just("replace"), st.floats(0, 1), st.binary(min_size=1, max_size=6)),
        st.tuples(
            st.just("replace"), st.floats(0, 1), st.sampled_from([b"{", b"[", b"0", b"-1", b"<", b'"'])
        ),
    ),
    min_size=1,
    max_size=3,
)


def damaged(content: bytes, how: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, piece in how:
        at = int(where * len(content))
        if kind == "cut":
            content = content[:at]
        elif kind == "delete":
            content = content[:at] + content[at + len(piece) :]
        else:
            content = content[:at] + piece + content[at + (len(piece) if kind == "replace" else 0) :]
    return content


@pytest.mark.parametrize("whole", CASES, indirect=True)
@settings(max_examples=60, deadline=30_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(how=changes)
@example(how=[("replace", 0.15625, b"{")])  # a header of NumPy's that its tokenizer gives up on
def test_damage_is_read_or_told_never_a_traceback(whole, how):
    file, argument = whole
    good, message = file.read_bytes(), ""
    try:
        file.write_bytes(damaged(good, how))
        open_dataset(argument, options=KEEP)
    except InputError as error:
        message = str(error)
    finally:
        file.write_bytes(good)
    assert len(message) < 2000, "the whole file is in the message"


@pytest.mark.parametrize("whole", CASES, indirect=True)
def test_the_files_that_are_damaged_are_good_before(whole):
    assert len(open_dataset(whole[1], options=KEEP)) > 0


@pytest.mark.parametrize(
    ("argument", "content"),
    [
        ("labelstudio:a.json", b"[" * 200_000),
        ("fiftyone:.", b'{"classes": null, "labels": ' + b'{"a":' * 200_000),
        ("labelstudio:a.csv", b"image,choice\na.jpg," + b"[" * 100_000 + b"\n"),
        ("cvat:a.xml", b"<annotations>" + b"<image>" * 200_000),
        ("cvat:a.xml", b'<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>'),
        ("cvat:a.xml", b'<?xml version="1.0" encoding="klingon"?><annotations/>'),
        ("labelstudio:a.json", b'[{"image": "a.jpg", "choice": ' + b"9" * 10_000 + b"}]"),
    ],
)
def test_files_made_to_hurt_are_refused_in_words(tmp_path, monkeypatch, argument, content):
    monkeypatch.chdir(tmp_path)
    Path("labels.json" if argument.endswith(".") else argument.partition(":")[2]).write_bytes(content)
    with pytest.raises(InputError) as error:
        open_dataset(argument, options=KEEP)
    assert len(str(error.value)) < 600
