"""Bad input through the command line: exit status 2, words that repair, no traceback, nothing written or lost."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from labelbeam.runs.build import build_head
from labelbeam.runs.config import configure, write_yaml


@dataclass(frozen=True)
class Place:
    """What a case may name: a folder of its own, drawn pictures with labels, an encoder, a finished run."""

    folder: Path
    drawn: Path
    encoder: Path
    run: Path

    def csv(self, text: str, *, encoding: str = "utf-8", name: str = "own.csv") -> str:
        """A data set argument for a CSV file of this text beside the drawn pictures' copies."""
        for i in range(12):
            shutil.copyfile(self.drawn / f"{i:05d}.png", self.folder / f"{i}.png")
        (self.folder / name).write_bytes(text.encode(encoding))
        return f"csv:{self.folder / name}"

    @property
    def data(self) -> str:
        return f"csv:{self.drawn / 'tags.csv'}#train"

    def file(self, name: str, content: bytes | str = b"") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def training(self, *options: object, data: str | None = None) -> list[object]:
        return [
            *("train", "--data", data or self.data, "--out", self.folder / "out", "--epochs", 1),
            *("--weights", self.encoder, *options),
        ]


@pytest.fixture
def place(tmp_path: Path, drawn: Path, encoder_file: Path, finished: Path) -> Place:
    return Place(tmp_path, drawn, encoder_file, finished)


def raw_weights(place: Place) -> Path:
    """The encoder's tensors, without a word of what they are."""
    path = place.folder / "raw.safetensors"
    save_file(load_file(place.encoder), path)
    return path


def broken_pictures(place: Place) -> str:
    spec = place.csv("image,tags\n" + "".join(f"{i}.png,cat\n" for i in range(12)))
    for i in range(12):
        place.file(f"{i}.png", "no picture")
    return spec


def finished_copy(place: Place) -> Path:
    return Path(shutil.copytree(place.run, place.folder / "out"))


def other_vocabulary(place: Place) -> Path:
    run = finished_copy(place)
    place.file("out/labels.json", '{"names": ["cat"], "counts": [1]}')
    return run


def sigmoid_run(place: Place) -> Path:
    """A run with a sigmoid head, its other parts those of the finished one."""
    run = finished_copy(place)
    config = configure(file=run / "config.yaml", head="sigmoid")
    (run / "config.yaml").write_text(write_yaml(config, opening=[]), encoding="utf-8")
    labels = json.loads((run / "labels.json").read_text("utf-8"))["names"]
    head = build_head(config, num_labels=len(labels), feature_size=32)
    save_file(head.state_dict(), run / "model.safetensors")
    return run


def unfinished(place: Place) -> Path:
    return place.file("out/resume.safetensors", "whatever")


ROWS = "".join(f"{i}.png,cat;dog\n" for i in range(6)) + "".join(f"{i}.png,dog\n" for i in range(6, 12))
TAGS = "image,tags\n" + ROWS

CASES: dict[str, tuple[Callable[[Place], list[object]], list[str]]] = {
    # Data
    "no data": (lambda p: ["train", "--out", p.folder / "out"], ["--data FORMAT:PATH#SPLIT"]),
    "a missing folder": (
        lambda p: p.training(data=f"voc2007:{p.folder / 'nowhere'}#train"),
        ["nowhere", "does not exist", "Check the path"],
    ),
    "a file instead of a data set": (lambda p: p.training(data="tags.csv"), ["no colon", "csv:tags.csv"]),
    "a folder instead of a data set": (
        lambda p: p.training(data=str(p.file("empty/a.bin", b"").parent)),
        ["nothing in it is recognised", "FORMAT:PATH#SPLIT", "formats: voc2007"],
    ),
    "an unknown format": (lambda p: p.training(data="cvs:a"), ["'cvs'", "Did you mean 'csv'"]),
    "an unknown split": (
        lambda p: p.training(data=p.data.replace("#train", "#trian")),
        ["'trian'", "Did you mean 'train'", "test"],
    ),
    "an empty table": (lambda p: p.training(data=p.csv("image,tags\n")), ["no row", "image, tags"]),
    "an empty file": (lambda p: p.training(data=p.csv("")), ["empty", "image,tags"]),
    "a table without images of its split": (
        lambda p: p.training(data=p.csv(TAGS) + "#val"),
        ["no column 'split'", "'val'"],
    ),
    "a missing column": (
        lambda p: p.training(data=p.csv("picture,tags\n0.png,cat\n")),
        ["no column of images", "picture, tags", "--image-column"],
    ),
    "an unknown column": (
        lambda p: p.training("--tags-column", "tag", data=p.csv(TAGS)),
        ["column 'tag'", "Did you mean 'tags'"],
    ),
    "labels that look like combinations": (
        lambda p: p.training(data=p.csv(TAGS.replace(";", "/") + "1.jpg,cat/bird\n2.jpg,bird\n")),
        ["look like combinations", "--delimiter '/'", "--combinations keep"],
    ),
    "two delimiters": (
        lambda p: p.training(data=p.csv(TAGS + "x.png,cat|dog\n")),
        ["ambiguous", "--delimiter ';'", "--delimiter '|'"],
    ),
    "rows that contradict one another": (
        lambda p: p.training(data=p.csv(TAGS + "0.png,bird\n")),
        ["repeat an image with different labels", "0.png", "lines 2 and 14", "--layout long"],
    ),
    "missing pictures": (
        lambda p: p.training(data=p.csv(TAGS + "gone.png,cat\n")),
        ["1 of 13 image files are missing", "gone.png", "--missing skip"],
    ),
    "Japanese Windows text": (
        lambda p: p.training(data=p.csv(TAGS.replace("cat", "猫"), encoding="cp932")),
        ["not UTF-8", "猫", "--encoding cp932"],
    ),
    "an unknown encoding": (
        lambda p: p.training("--encoding", "cp93", data=p.csv(TAGS)),
        ["'cp93'", "cp932"],
    ),
    "no label at all": (
        lambda p: p.training(data=p.csv("image,tags\n0.png,NaN\n1.png,\n")),
        ["no row has a label"],
    ),
    "too few pictures to hold some out": (
        lambda p: p.training(data=p.csv("image,tags\n0.png,cat\n1.png,dog\n")),
        ["2 images", "--val-fraction 0"],
    ),
    "only broken pictures": (
        lambda p: p.training(data=broken_pictures(p)),
        ["no image can be read", "not an image"],
    ),
    "an option that the format does not have": (
        lambda p: p.training("--difficult", "absent"),
        ["csv has no option --difficult", "--delimiter"],
    ),
    "an unknown policy": (lambda p: p.training("--missing", "skipp"), ["--missing", "Did you mean 'skip'"]),
    "validation data that is not there": (
        lambda p: p.training("--val", "csv:gone.csv"),
        ["csv:gone.csv", "does not exist"],
    ),
    "validation data with none of the labels": (
        lambda p: p.training("--val", p.csv("image,tags\n0.png,zebra\n")),
        ["own.csv", "none of the labels", "zebra"],
    ),
    # Encoders and weights
    "no weights for tiny": (
        lambda p: ["train", "--data", p.data, "--out", p.folder / "out", "--encoder", "tiny"],
        ["no pretrained weights", "--finetune", "--weights"],
    ),
    "an unknown encoder": (lambda p: p.training("--encoder", "tinny"), ["'tinny'", "--encoder tiny"]),
    "an unknown encoder without weights": (
        lambda p: ["train", "--data", p.data, "--out", p.folder / "out", "--encoder", "resnet_50"],
        ["unknown encoder 'resnet_50'", "Did you mean 'resnet50'"],
    ),
    "weights of another architecture": (
        lambda p: p.training("--encoder", "vgg16"),
        ["another architecture", "'tiny'", "--encoder tiny"],
    ),
    "weights of another architecture, by their tensors": (
        lambda p: p.training(
            *("--encoder", "squeezenet1_1", "--weights", raw_weights(p), "--mean", "0,0,0", "--std", "1,1,1"),
            *("--channels", "RGB"),
        ),
        ["another architecture", "missing", "--encoder"],
    ),
    "weights that say nothing of themselves": (
        lambda p: p.training("--encoder", "tiny", "--weights", raw_weights(p)),
        ["does not say mean, std, input", "raw.json", "--mean", "--std", "--channels"],
    ),
    "weights without a name": (
        lambda p: p.training("--weights", raw_weights(p)),
        ["names no timm_model", "--encoder"],
    ),
    "weights that are not there": (lambda p: p.training("--weights", "no.safetensors"), ["no weights file"]),
    "cut weights": (
        lambda p: p.training("--weights", p.file("cut.safetensors", p.encoder.read_bytes()[:5000])),
        ["cut.safetensors", "not a whole safetensors file"],
    ),
    "a mean of two numbers": (lambda p: p.training("--mean", "0.5,0.5"), ["--mean", "three numbers"]),
    "an unknown way to resize": (lambda p: p.training("--resize", "centre"), ["'centre'", "'center'"]),
    "unknown channels": (lambda p: p.training("--channels", "GBR"), ["'GBR'", "RGB"]),
    # Training
    "an unknown head": (lambda p: p.training("--head", "cnnrnn"), ["head 'cnnrnn'", "'cnn-rnn'"]),
    "an unknown head by --set": (lambda p: p.training("--set", "head=cnnrnn"), ["'cnnrnn'", "'cnn-rnn'"]),
    "an unknown recipe": (lambda p: p.training("--recipe", "papr"), ["recipe 'papr'", "'paper'"]),
    "an unknown key": (
        lambda p: p.training("--set", "recipe.epoch=3"),
        ["--set recipe.epoch=3", "unknown key 'recipe.epoch'", "'recipe.epochs'"],
    ),
    "a setting without a value": (lambda p: p.training("--set", "recipe.epochs"), ["no '='"]),
    "a value of another type": (
        lambda p: p.training("--set", "recipe.epochs=many"),
        ["recipe.epochs must be int", "'many'"],
    ),
    "an unknown cell": (lambda p: p.training("--set", "label_model.cell=lsmt"), ["'lsmt'", "'lstm'"]),
    "an unknown order": (lambda p: p.training("--order", "frequently"), ["'frequently'", "'frequent'"]),
    "an order that the outcomes forbid": (
        lambda p: p.training("--order", "shuffle"),
        ["shuffle", "label_model.allowed=no-repeat"],
    ),
    "an unknown precision": (lambda p: p.training("--precision", "fp8"), ["'fp8'", "bf16"]),
    "no epochs": (lambda p: p.training("--epochs", 0), ["epochs must be at least 1"]),
    "everything held out": (lambda p: p.training("--val-fraction", 1), ["validation_fraction", "below 1"]),
    "a configuration that is not there": (
        lambda p: p.training("--config", "no.yaml"),
        ["no.yaml", "cannot be read"],
    ),
    "a configuration that is none": (
        lambda p: p.training("--config", p.file("c.yaml", "- a\n- b\n")),
        ["c.yaml must hold keys and values"],
    ),
    # Folders of runs
    "a finished run in --out": (
        lambda p: [*p.training(), "--out", finished_copy(p)],
        ["holds a finished run", "--overwrite"],
    ),
    "an unfinished run in --out": (
        lambda p: [*p.training(), "--out", unfinished(p).parent],
        ["holds an unfinished training", "--resume", "--overwrite"],
    ),
    "an unfinished run to be replaced, and bad data": (
        lambda p: [*p.training(data="csv:gone.csv"), "--out", unfinished(p).parent, "--overwrite"],
        ["does not exist"],
    ),
    "a folder of something else": (
        lambda p: [*p.training(), "--out", p.file("out/thesis.txt").parent],
        ["is not a run of labelbeam", "another --out"],
    ),
    "a file in place of --out": (
        lambda p: [*p.training(), "--out", p.file("out")],
        ["out exists and is not a run"],
    ),
    "--out below a file": (
        lambda p: [*p.training(), "--out", p.file("file") / "out"],
        ["cannot be made", "--out"],
    ),
    "nothing to resume": (lambda p: p.training("--resume"), ["holds no unfinished training"]),
    "a checkpoint that is none": (
        lambda p: [*p.training(), "--out", unfinished(p).parent, "--resume"],
        ["resume.safetensors", "--overwrite"],
    ),
    "both --resume and --overwrite": (
        lambda p: [*p.training(), "--out", unfinished(p).parent, "--resume", "--overwrite"],
        ["Give one of them"],
    ),
    "a run that is not there": (lambda p: ["tag", p.folder / "no", p.drawn], ["no such folder", "train"]),
    "a folder that is no run": (
        lambda p: ["tag", p.drawn, p.drawn],
        ["not a finished run", "model.safetensors"],
    ),
    "a run of another vocabulary": (
        lambda p: ["tag", other_vocabulary(p), p.drawn],
        ["does not fit", "labels.json"],
    ),
    # Tagging and evaluating
    "run and pictures the wrong way round": (
        lambda p: ["tag", p.drawn, p.run],
        ["the run comes first: labelbeam tag"],
    ),
    "a picture that is not there": (lambda p: ["tag", p.run, "gone.jpg"], ["'gone.jpg'", "does not exist"]),
    "a pattern that matches nothing": (lambda p: ["tag", p.run, "gone*.jpg"], ["no file matches"]),
    "a list that is not there": (lambda p: ["tag", p.run, "@gone.txt"], ["the list 'gone.txt'"]),
    "--out in a missing folder": (
        lambda p: ["tag", p.run, p.drawn, "--out", p.folder / "no" / "a.jsonl"],
        ["--out", "there is no folder"],
    ),
    "--page in a missing folder": (
        lambda p: ["tag", p.run, p.drawn, "--page", p.folder / "no" / "a.html"],
        ["--page", "there is no folder"],
    ),
    "--out that is a folder": (lambda p: ["tag", p.run, p.drawn, "--out", p.folder], ["is a folder"]),
    "a threshold above 1": (lambda p: ["tag", p.run, p.drawn, "--threshold", 2], ["[0, 1]"]),
    "a threshold of nan": (lambda p: ["tag", p.run, p.drawn, "--threshold", "nan"], ["[0, 1]"]),
    "an unknown decision": (lambda p: ["tag", p.run, p.drawn, "--decide", "pth"], ["'pth'", "'path'"]),
    "a threshold for the path": (
        lambda p: ["tag", p.run, p.drawn, "--decide", "path", "--threshold", 0.5],
        ["no use with --decide path"],
    ),
    "an unknown search": (lambda p: ["tag", p.run, p.drawn, "--search", "bream"], ["'bream'", "'beam'"]),
    "a beam of nothing": (lambda p: ["tag", p.run, p.drawn, "--beam", 0], ["beam", "at least 1"]),
    "exactly no labels": (
        lambda p: ["evaluate", p.run, "--data", p.data, "--k", 0],
        ["k", "at least 1"],
    ),
    "two protocols": (
        lambda p: ["evaluate", p.run, "--data", p.data, "--k", 1, "--threshold", 0.5],
        ["exactly one decision protocol"],
    ),
    "every score of text": (lambda p: ["tag", p.run, p.drawn, "--all-scores"], ["--json"]),
    "a search for a sigmoid head": (
        lambda p: ["tag", sigmoid_run(p), p.drawn, "--beam", 3],
        ["'sigmoid'", "--beam 3", "nothing to search"],
    ),
    "one resample": (
        lambda p: ["evaluate", p.run, "--data", p.data, "--bootstrap", 1],
        ["at least 2 resamples"],
    ),
    "a negative seed": (
        lambda p: ["evaluate", p.run, "--data", p.data, "--seed", -1],
        ["--seed", "-1"],
    ),
    "data of other labels": (
        lambda p: ["evaluate", p.run, "--data", p.csv("image,tags\n0.png,zebra\n1.png,lion\n")],
        ["none of the labels", "zebra", "holiday"],
    ),
    "an unknown label": (lambda p: ["neighbors", p.run, "holliday"], ["'holliday'", "'holiday'"]),
    # Scores
    "NaN among the scores": (
        lambda p: [
            *("score", "--truth", p.file("t.jsonl", '{"image": "a", "labels": ["cat"]}\n')),
            *("--pred", p.file("p.jsonl", '{"image": "a", "scores": {"cat": NaN}}\n'), "--k", 1),
        ],
        ["NaN", "p.jsonl"],
    ),
}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_explained_and_nothing_is_lost(case, place, command):
    arguments, words = CASES[case]
    given = arguments(place)
    before = content(place.folder), content(place.run), content(place.drawn)
    done = command(*given)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert [word for word in words if word not in done.stderr] == [], done.stderr
    assert (content(place.folder), content(place.run), content(place.drawn)) == before
