"""A run directory from a stranger is safe to load: nothing of it runs, nothing outside it is read or written."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError
from labelbeam.runs.tagger import Tagger

Spoil = Callable[[Path], None]


class Payload:
    """What a pickle would run."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self._command,)


def safetensors(head: object, content: bytes = b"") -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + content


def replaced(name: str, content: bytes) -> Spoil:
    def spoil(run: Path) -> None:
        (run / name).unlink()
        (run / name).write_bytes(content)

    return spoil


def with_values(name: str, **values: object) -> Spoil:
    def spoil(run: Path) -> None:
        told = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(told | values))

    return spoil


def with_encoder(**values: object) -> Spoil:
    """Change what the encoder's file says of itself, its tensors as they were."""

    def spoil(run: Path) -> None:
        raw = (run / "encoder.safetensors").read_bytes()
        end = 8 + struct.unpack("<Q", raw[:8])[0]
        head = json.loads(raw[8:end])
        (key,) = (key for key in head["__metadata__"] if "encoder" in key)
        said = json.loads(head["__metadata__"][key])
        head["__metadata__"][key] = json.dumps(said | values)
        replaced("encoder.safetensors", safetensors(head, raw[end:]))(run)

    return spoil


def linked(name: str, to: str) -> Spoil:
    def spoil(run: Path) -> None:
        (run / name).unlink()
        (run / name).symlink_to(to)

    return spoil


def more_configuration(text: str) -> Spoil:
    def spoil(run: Path) -> None:
        with (run / "config.yaml").open("a") as file:
            file.write("\n" + text + "\n")

    return spoil


def tensor_of(kind: str) -> bytes:
    """A safetensors file of one number of a kind."""
    header = json.dumps({"U_l": {"dtype": kind, "shape": [1], "data_offsets": [0, 1]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0"


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)
HUGE = {"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}
OVERFLOW = {"a": {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 4]}}

NESTED = b"[" * 100_000

TRANSFORM = Preprocess().to_dict()

SPOILED: dict[str, tuple[Spoil, str]] = {
    "a huge declared shape": (replaced("model.safetensors", safetensors(HUGE)), "model.safetensors"),
    "a shape that overflows": (
        replaced("model.safetensors", safetensors(OVERFLOW, bytes(4))),
        "model.safetensors",
    ),
    "a head of 2^62 bytes": (
        replaced("model.safetensors", struct.pack("<Q", 2**62) + b"{}"),
        "model.safetensors",
    ),
    "numbers of a type that NumPy does not have": (
        replaced("model.safetensors", tensor_of("F8_E4M3")),
        "model.safetensors",
    ),
    "a layer of billions": (more_configuration("label_model: {hidden_size: 60000}"), "model.safetensors"),
    "YAML that builds objects": (
        more_configuration("x: !!python/object/apply:os.system ['touch pwned']"),
        "config.yaml",
    ),
    "YAML of a billion laughs": (
        replaced("config.yaml", LAUGHS.encode()),
        "refers to another part of itself",
    ),
    "an encoder by path": (with_encoder(arguments={"model": "../../etc/passwd"}), "no model's name"),
    "an encoder from the network": (
        with_encoder(architecture="timm", arguments={"model": "hf-hub:a/b"}),
        "no model's name",
    ),
    "an encoder from a folder": (
        with_encoder(architecture="timm", arguments={"model": "local-dir:/tmp"}),
        "no model's name",
    ),
    "an encoder that is code": (with_encoder(architecture="os.system"), "unknown encoder architecture"),
    "an encoder's extra argument": (with_encoder(arguments={"width": 16, "pickle": 1}), "arguments"),
    "a transform of gigapixels": (
        with_encoder(preprocess=TRANSFORM | {"size": 10**9}),
        "size must be 1 to 4096",
    ),
    "features without number": (with_encoder(num_features=10**9), "num_features|must be|features"),
    "labels that are another's file": (linked("labels.json", "/etc/passwd"), "not readable JSON"),
    "labels without end": (linked("labels.json", "/dev/zero"), "not a finished run"),
    "a model without end": (linked("model.safetensors", "/dev/zero"), "not a finished run"),
    "labels that are themselves": (linked("labels.json", "labels.json"), "not a finished run"),
    "calibration of another kind": (replaced("calibration.json", b"[]"), "calibration"),
    "labels nested without end": (replaced("labels.json", NESTED), "not readable JSON"),
    "calibration nested without end": (replaced("calibration.json", NESTED), "not readable JSON"),
    "configuration nested without end": (replaced("config.yaml", NESTED), "not YAML"),
    "names that are numbers": (with_values("labels.json", names=[1, 2, 3]), "a name is 1"),
    "names with line breaks": (with_values("labels.json", names=["a\nb", "c", "d"]), "line break"),
    "counts without end": (with_values("labels.json", counts=[1e400]), "labels.json"),
    "a number without end": (more_configuration("seed: " + "9" * 5000), "not YAML"),
    "a suggester of another kind": (replaced("suggester.json", b"[]"), "suggester.json"),
    "labels of another number": (
        with_values("labels.json", names=["a", "b"], counts=[1, 1]),
        "does not fit",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_run_is_refused_in_words(name: str, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied.parent)
    spoil, words = SPOILED[name]
    spoil(copied)
    with pytest.raises(InputError, match=words) as refused:
        Tagger.load(copied)
    assert "root:" not in str(refused.value), "another's file is shown"
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


@pytest.mark.parametrize("name", ["model.safetensors", "encoder.safetensors", "suggester.safetensors"])
def test_a_pickle_in_place_of_weights_is_never_opened(name: str, copied: Path) -> None:
    proof = copied.parent / "pwned"
    replaced(name, pickle.dumps(Payload(f"touch {proof}")))(copied)
    with pytest.raises(InputError):
        Tagger.load(copied)
    pickle.loads((copied / name).read_bytes())
    assert proof.exists(), "the payload itself does not work, so that this test could not fail"


def test_names_that_look_like_paths_and_markup_are_names(copied: Path, finished: Path) -> None:
    labels = json.loads((copied / "labels.json").read_text())
    labels["names"][:2] = ["../../etc/passwd", "<script>alert(1)</script>"]
    (copied / "labels.json").write_text(json.dumps(labels))
    before = sorted(path.name for path in copied.iterdir())
    assert Tagger.load(copied).labels[:2] == ("../../etc/passwd", "<script>alert(1)</script>")
    assert sorted(path.name for path in copied.iterdir()) == before
