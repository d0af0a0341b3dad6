"""Every parser of what comes from elsewhere, with inputs that it reads: what `benchmarks/fuzz.py` mutates.

A parser gets bytes and may answer, or refuse with an `InputError` (a `Refusal` in the service). Anything else is a
defect. `tests/fuzz_inputs/PARSER/` keeps inputs that were one, and small inputs of formats that are read only.
"""

import asyncio
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.labels.vocabulary import Vocabulary

KEPT = Path(__file__).parent / "fuzz_inputs"

Run = Callable[[bytes], object]


@dataclass(frozen=True)
class Parser:
    """A parser and what it reads.

    Attributes:
        seeds: inputs that are in order.
        run: reads an input.
    """

    seeds: list[bytes]
    run: Run


def kept(name: str) -> list[bytes]:
    """Return the inputs that are kept for a parser."""
    return [file.read_bytes() for file in sorted((KEPT / name.replace("/", " ")).glob("*"))]


def small_dataset(folder: Path) -> Dataset:
    """Six small pictures below a folder, with labels present, absent and unknown."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for i in range(6):
        names.append(f"{'ab'[i % 2]}/{i}.png")
        (folder / names[-1]).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 6), (40 * i, 9, 9)).save(folder / names[-1])
    targets = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 0], [0, 1, 1]], np.int8)
    return Dataset("made:up", folder, tuple(names), Vocabulary(("cat", "hot dog", "海")), targets)


SUFFIXES = (".json", ".jsonl", ".csv", ".xml", ".txt", ".yaml", ".tar", ".npz", ".md")
SINGLE = {
    "csv": "a.csv",
    "jsonl": "a.jsonl",
    "mmpretrain": "a.json",
    "paddle": "a.txt",
    "cleanlab": "a.json",
} | {
    **{"labelstudio": "a.json", "cvat": "a.xml", "vectors": "a.npz", "createml": "a.json"},
}
READ_ONLY = {
    "list": ("list:{}/a.txt", "a.txt", b"a/0.png cat dog\na/1.png dog\n"),
    "vertex": (
        "vertex:{}/a.jsonl",
        "a.jsonl",
        b'{"imageGcsUri": "gs://b/a/0.png", "classificationAnnotations": [{"displayName": "cat"}]}\n',
    ),
    "azure": (
        "azure:{}/a.jsonl",
        "a.jsonl",
        b'{"image_url": "azureml://s/a/0.png", "label": ["cat"]}\n{"image_url": "azureml://s/a/1.png", "label": []}\n',
    ),
    "sagemaker": (
        "sagemaker:{}/a.manifest",
        "a.manifest",
        b'{"source-ref": "s3://b/a/0.png", "j": [0], "j-metadata": {"class-map": {"0": "cat"}, "type": '
        b'"groundtruth/image-classification-multilabel"}}\n',
    ),
    "labelme": (
        "labelme:{}",
        "a.json",
        b'{"imagePath": "a.png", "flags": {"cat": true}, "shapes": [{"label": "dog"}]}',
    ),
    "yolo": ("yolo:{}", "data.yaml", b"train: images\nval: images\nnames: {0: cat, 1: dog}\n"),
    "datumaro": (
        "datumaro:{}",
        "annotations/default.json",
        b'{"categories": {"label": {"labels": [{"name": "cat"}]}}, "items": [{"id": "a", "annotations": [{"type": '
        b'"label", "label_id": 0}], "image": {"path": "a.png"}}]}',
    ),
}


def formats(folder: Path) -> Iterator[tuple[str, Callable[[], Parser]]]:
    """Yield the readers of data sets: of what their writers write, each kind of file by itself."""
    from labelbeam.formats.registry import FORMATS, write_dataset

    dataset = small_dataset(folder / "pictures")
    for name, entry in FORMATS.items():
        here = folder / name
        if entry.write is None or name == "keywords":
            continue
        here.mkdir()
        path = here / SINGLE[name] if name in SINGLE else here / "set"
        split = "#train" if name.startswith(("voc", "coco", "openimages")) else ""
        spec = f"{name}:{path}{split}"
        if name == "vectors":
            continue
        write_dataset(dataset, spec, images="keep" if name in SINGLE else "copy")
        files = {
            file.suffix: file for file in sorted(here.rglob("*"), reverse=True) if file.suffix in SUFFIXES
        }
        for suffix, file in files.items():
            yield (
                f"{name}{suffix}",
                lambda spec=spec, file=file, name=name: _reader(spec, file, f"{name}{file.suffix}"),
            )
    for name, (spec, target, content) in READ_ONLY.items():
        file = folder / name / target
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        for place in ("", "images", "a"):
            (folder / name / place).mkdir(exist_ok=True)
            Image.new("RGB", (8, 6)).save(folder / name / place / "0.png")
        (folder / name / "labels").mkdir()
        (folder / name / "labels/0.txt").write_text("0 .5 .5 .2 .2")
        yield name, lambda spec=spec, file=file, name=name: _reader(spec.format(folder / name), file, name)


def _reader(spec: str, file: Path, name: str) -> Parser:
    from labelbeam.formats.registry import open_dataset

    def run(raw: bytes) -> object:
        file.write_bytes(raw)
        return open_dataset(spec, options=ReadOptions(missing="keep"))

    return Parser([file.read_bytes(), *kept(name)], run)


def pictures(folder: Path) -> Iterator[tuple[str, Callable[[], Parser]]]:
    """Yield the decoders, by kind."""
    from labelbeam.data.images import read_rgb_bytes

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP", "PPM", "TGA", "JPEG2000", "HEIF"):

        def parser(kind: str = kind) -> Parser:
            file = io.BytesIO()
            if kind == "HEIF":
                import pillow_heif

                pillow_heif.from_pillow(noise).save(file)
            else:
                noise.save(
                    file, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF") else {})
                )
            return Parser(
                [file.getvalue(), *kept(kind)],
                lambda raw: read_rgb_bytes(raw, "a.jpg", max_pixels=64_000_000),
            )

        yield kind, parser
    yield "metadata", lambda: _metadata(folder)


def _metadata(folder: Path) -> Parser:
    from labelbeam.formats.photo_metadata.embedded import read_metadata

    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:subject><rdf:Bag><rdf:li>cat</rdf:li>'
        b"</rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    seeds = []
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        file = io.BytesIO()
        Image.new("RGB", (8, 6)).save(file, kind, **({"xmp": xmp} if kind != "PNG" else {}))
        seeds.append(file.getvalue())

    def run(raw: bytes) -> object:
        (folder / "m.jpg").write_bytes(raw)
        return read_metadata(folder / "m.jpg")

    return Parser([*seeds, *kept("metadata")], run)


def files(folder: Path) -> Iterator[tuple[str, Callable[[], Parser]]]:
    """Yield the readers of everything else that is a file."""
    from labelbeam.data.download import unpack
    from labelbeam.data.image_bytes import image_bytes, tar_members
    from labelbeam.data.listing import list_images
    from labelbeam.labels.implications import read_implications
    from labelbeam.metrics.prediction_file import read_predictions, read_truth
    from labelbeam.parsing import parse_json, parse_yaml

    def of_file(
        name: str, seeds: list[bytes], read: Callable[[Path], object], suffix: str = ".txt"
    ) -> Parser:
        file = folder / f"{name.replace('/', '_')}{suffix}"

        def run(raw: bytes) -> object:
            file.write_bytes(raw)
            return read(file)

        return Parser([*seeds, *kept(name)], run)

    truth = [
        json.dumps({"image": f"{i}.jpg", "labels": ["a", "b"][: i % 3], "unknown": []}) for i in range(5)
    ]
    given = folder / "truth.jsonl"
    given.write_text("\n".join(truth))
    known = read_truth(given)
    said = b"".join(
        json.dumps({"image": f"{i}.jpg", "scores": {"a": 0.5, "b": 0.25 * i}}).encode() + b"\n"
        for i in range(5)
    )
    told = b"".join(
        json.dumps({"image": f"{i}.jpg", "labels": [{"label": "a", "score": 0.5}]}).encode() + b"\n"
        for i in range(5)
    )
    yield "truth", lambda: of_file("truth", ["\n".join(truth).encode()], read_truth)
    yield (
        "predictions",
        lambda: of_file("predictions", [said, told], lambda file: read_predictions(file, known)),
    )
    yield (
        "implications",
        lambda: of_file("implications", [b"dog -> animal\ncat -> animal\n"], read_implications),
    )
    yield (
        "list of images",
        lambda: Parser(
            [b"a.jpg\nb.jpg\n", "a.jpg\n".encode("utf-16"), b"a.jpg\0b.jpg\0"],
            lambda raw: list(list_images(["-"], stdin=io.BytesIO(raw))),
        ),
    )
    yield (
        "json",
        lambda: Parser(
            [b'{"a": [1, 2.5e3, "x", null], "b": {"c": "\\u00e4"}}'], lambda raw: parse_json(raw, "a")
        ),
    )
    yield "yaml", lambda: Parser([b"a: [1, x]\nb: {c: 2020-01-01}\n"], lambda raw: parse_yaml(raw, "a"))
    yield (
        "tar",
        lambda: of_file(
            "tar", [_archive("tar")], lambda file: _members(file, tar_members, image_bytes), ".tar"
        ),
    )
    yield (
        "unpack",
        lambda: of_file("unpack", [_archive("zip"), _archive("tar")], lambda file: _unpacked(file, unpack)),
    )
    yield "project", lambda: _project(folder, of_file)
    yield "vector store", lambda: _store(folder, "names.jsonl")
    yield "vector store key", lambda: _store(folder, "encoder.json")
    yield "journal", lambda: _journal(folder)
    yield (
        "labels.json",
        lambda: of_file("labels.json", [b'{"names": ["a", "b"], "counts": [3, 4]}'], _labels, ".json"),
    )
    yield (
        "config.yaml",
        lambda: of_file("config.yaml", [b"head: cnn-rnn\nrecipe: {epochs: 3}\n"], _config, ".yaml"),
    )
    yield "calibration", lambda: of_file("calibration", [], _calibration, ".json")


def _archive(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as packed:
            packed.writestr("a/b.txt", "hello")
    else:
        with tarfile.open(fileobj=file, mode="w") as packed:
            info = tarfile.TarInfo("a/b.txt")
            info.size = 5
            packed.addfile(info, io.BytesIO(b"hello"))
    return file.getvalue()


def _members(file: Path, tar_members: Callable, image_bytes: Callable) -> object:
    found = list(tar_members(file))
    for member in found:
        try:
            image_bytes(file / member.name)
        except OSError:
            continue
    return found


def _unpacked(file: Path, unpack: Callable) -> object:
    import shutil

    target = file.with_name("unpacked")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    return unpack(file, target)


def _project(folder: Path, of_file: Callable[..., Parser]) -> Parser:
    from labelbeam.project.project_file import Project
    from labelbeam.project.schema import Change

    picture = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(picture, "PNG")
    made = folder / "made.lbp"
    with Project(made) as project:
        project.add_labels(["boat", "sea"])
        project.add_photograph(picture.getvalue(), name="a.png")
        project.decide([Change(1, "boat", 1), Change(1, "sea", 0)])
        project.rename("sea", "boat")
        project.undo()
        project.complete([1])
    picture_folder = folder / "made.lbp.images"
    picture_folder.rename(folder / "project.lbp.images")

    def read(file: Path) -> object:
        for more in ("-wal", "-shm"):
            file.with_name(file.name + more).unlink(missing_ok=True)
        with Project(file) as project:
            found = (
                project.labels(),
                project.photographs(),
                project.decisions(),
                project.known(),
                project.turns(),
            )
            for one in project.photographs():
                project.features(one.id, "x")
            project.undo()
            project.redo()
        return found

    return of_file("project", [made.read_bytes()], read, ".lbp")


def _store(folder: Path, name: str) -> Parser:
    from labelbeam.tagging.vector_store import VectorStore

    store = folder / f"store of {name}"
    key = {"encoder": "tiny"}
    with VectorStore(store, key, num_features=4, write=True) as opened:
        for i in range(5):
            opened.add(f"{i}.jpg", (1, 2), np.zeros(4, np.float16) if i != 3 else "not an image")

    def run(raw: bytes) -> object:
        (store / name).write_bytes(raw)
        with VectorStore(store, key, num_features=4) as opened:
            return [opened.find(one) for one in opened.names()]

    return Parser([(store / name).read_bytes(), *kept("vector store")], run)


def _journal(folder: Path) -> Parser:
    from labelbeam.tagging.journal import journal

    out = folder / "out.jsonl"
    lines = b'{"image": "a.jpg", "labels": []}\n{"image": "b.jpg", "error": "no image"}\n'

    def run(raw: bytes) -> object:
        (folder / "out.jsonl.partial").write_bytes(raw)
        (folder / "out.jsonl.job.json").write_text("{}")
        with journal(out, job={}) as opened:
            return list(opened.remaining([Path("a.jpg"), Path("c.jpg")]))

    return Parser([lines, *kept("journal")], run)


def _labels(file: Path) -> object:
    from labelbeam.runs.run_directory import read_labels

    return read_labels(file)


def _config(file: Path) -> object:
    from labelbeam.runs.config import RunConfig, from_plain, read_yaml

    return from_plain(RunConfig, read_yaml(file), source="config.yaml")


def _calibration(file: Path) -> object:
    from labelbeam.parsing import parse_json, read_json
    from labelbeam.predict.calibration import RunCalibration

    known = parse_json((KEPT / "calibration/in_order.json").read_bytes(), "in order")
    labels = len(known["thresholds"]["of1"])
    return RunCalibration.from_json(read_json(file), num_labels=labels, num_features=32)


def bodies(folder: Path) -> Iterator[tuple[str, Callable[[], Parser]]]:
    """Yield the readers of what clients of the service send."""
    from labelbeam.service.admission import Refusal
    from labelbeam.service.routes import SuggestQuestion, parsed
    from labelbeam.service.uploads import read_form

    form = (
        b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\nhello\r\n--x\r\n'
        b'Content-Disposition: form-data; name="accepted"\r\n\r\ncat\r\n--x--\r\n'
    )

    def allowed(read: Run) -> Run:
        def run(raw: bytes) -> object:
            try:
                return read(raw)
            except Refusal as refusal:
                return refusal

        return run

    async def chunks(raw: bytes):
        for at in range(0, len(raw), 50):
            yield raw[at : at + 50]

    yield (
        "form",
        lambda: Parser(
            [form, *kept("form")],
            allowed(
                lambda raw: asyncio.run(
                    read_form("multipart/form-data; boundary=x", chunks(raw), most_files=4)
                )
            ),
        ),
    )
    question = b'{"vector": "ab", "accepted": ["cat"], "rejected": [], "count": 5, "mechanism": "pairs"}'
    yield (
        "question",
        lambda: Parser([question, *kept("question")], allowed(lambda raw: parsed(SuggestQuestion, raw))),
    )


def vectors(folder: Path) -> Iterator[tuple[str, Callable[[], Parser]]]:
    """Yield the readers of vectors, by the suffix of the file, and of Parquet with pictures inside."""
    import pyarrow as pa
    from pyarrow import parquet

    from labelbeam.formats.registry import open_dataset, write_dataset

    here = folder / "of vectors"
    here.mkdir()
    table = pa.table({"image": ["a", "b"], "features": [[0.5, 1.0], [2.0, 3.0]], "labels": [["cat"], []]})
    parquet.write_table(table, here / "vectors.parquet")
    arff = b"@relation 'x: -C 2'\n@attribute cat {0,1}\n@attribute 'a dog' {0,1}\n@attribute f numeric\n"
    (here / "vectors.arff").write_bytes(arff + b"@data\n1,0,0.5\n{0 1, 2 .25}\n")
    (here / "vectors.svm").write_bytes(b"0,1 1:0.5 3:2\n1 2:1e-3\n\n")
    picture = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(picture, "PNG")
    cell = {"bytes": picture.getvalue(), "path": "a.png"}
    parquet.write_table(
        pa.table({"image": [cell, cell], "labels": [["cat"], ["dog"]]}), here / "pictures.parquet"
    )
    dataset = open_dataset(f"vectors:{here / 'vectors.parquet'}")
    for suffix in (".npz", ".npy", ".arrow"):
        write_dataset(dataset, f"vectors:{here / ('vectors' + suffix)}")
    for file in sorted(file for file in here.iterdir() if file.is_file()):
        read = file.with_suffix(".npy") if file.suffix == ".csv" else file  # the labels beside a matrix
        spec = f"{'parquet' if file.stem == 'pictures' else 'vectors'}:{read}"
        yield file.name, lambda spec=spec, file=file: _table(spec, file)


def _table(spec: str, file: Path) -> Parser:
    from labelbeam.data.image_bytes import image_bytes
    from labelbeam.formats.registry import open_dataset

    def run(raw: bytes) -> object:
        file.write_bytes(raw)
        found = open_dataset(
            spec, options=ReadOptions(**({"missing": "keep"} if spec.startswith("parquet") else {}))
        )
        if found.features:
            return found.features.take(np.arange(len(found)))
        with suppress(OSError):  # that of one picture, as of one file
            return [image_bytes(path) for path in found.paths]
        return None

    return Parser([file.read_bytes(), *kept(file.name)], run)


def runs(folder: Path) -> Iterator[tuple[str, Callable[[], Parser]]]:
    """Yield the readers of each file of a run and of an exported one, of weights, and of a training to be resumed."""
    import os
    import shutil

    os.environ["LABELBEAM_CACHE"] = str(folder / "cache")
    frozen = Path(__file__).parent / "frozen"
    for name in ("sigmoid", "exported"):
        shutil.copytree(frozen / name, folder / name)
        for file in sorted((folder / name).iterdir()):
            if file.suffix != ".py":
                yield f"{name}/{file.name}", lambda file=file: _run(file)
    yield (
        "weights.safetensors",
        lambda: _weights(folder / "w.safetensors", frozen / "run/encoder.safetensors"),
    )
    yield "weights.pth", lambda: _weights(folder / "w.pth", None)
    yield "resume", lambda: _resume(folder / "resume.safetensors")


def _run(file: Path) -> Parser:
    from labelbeam.runs.tagger import Tagger

    whole = file.read_bytes()

    def run(raw: bytes) -> object:
        file.write_bytes(raw)
        try:
            return list(Tagger.load(file.parent).tag([Path(__file__).parent / "frozen/pictures/01576.png"]))
        finally:
            file.write_bytes(whole)

    return Parser([whole, *kept(f"{file.parent.name}/{file.name}")], run)


def _weights(file: Path, seed: Path | None) -> Parser:
    import torch

    from labelbeam.encoders.weights import read_weights

    buffer = io.BytesIO()
    torch.save({"a.weight": torch.zeros(3, 2), "a.bias": torch.zeros(3, dtype=torch.float16)}, buffer)

    def run(raw: bytes) -> object:
        file.write_bytes(raw)
        return read_weights(file)

    return Parser(
        [buffer.getvalue() if seed is None else seed.read_bytes(), *kept(f"weights{file.suffix}")], run
    )


def _resume(file: Path) -> Parser:
    import torch

    from labelbeam.training.loop import Progress, load_checkpoint, save_checkpoint

    model = torch.nn.Linear(2, 3)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    progress = Progress(3, 2, 0.5, [{"epoch": 1}], model.state_dict())
    save_checkpoint(file, progress, model.state_dict(), optimiser, settings="x")

    def run(raw: bytes) -> object:
        file.write_bytes(raw)
        return load_checkpoint(file, model, optimiser, settings="x")

    return Parser([file.read_bytes(), *kept("resume")], run)


def parsers(folder: Path) -> dict[str, Callable[[], Parser]]:
    """Return every parser by name; what they need lies below a folder."""
    found = dict(
        pair for group in (formats, pictures, files, vectors, runs, bodies) for pair in group(folder)
    )
    return {name: cache(make) for name, make in found.items()}
