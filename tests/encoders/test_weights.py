import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from labelbeam.encoders.weights import content_hash, load_strictly, parse_needs, read_weights
from labelbeam.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_real_file_says_everything_it_needs(labelbeam_data: Path) -> None:
    weights = read_weights(labelbeam_data / "weights/mobilenetv2_100.tf_in1k.safetensors")
    needs = weights.needs
    assert (needs.timm_model, needs.num_classes, needs.pad_type) == ("mobilenetv2_100", 1001, "same")
    assert (needs.mean, needs.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (needs.channels, needs.scale, needs.size) == ("RGB", 1.0, 224)


def test_a_json_beside_the_file_overrides_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata={"pad_type": "", "mean": "1,2,3"})
    path.with_suffix(".json").write_text('{"mean": [0.1, 0.2, 0.3], "num_classes": 7, "note": "mine"}')
    needs = read_weights(path).needs
    assert needs.mean == (0.1, 0.2, 0.3)
    assert (needs.num_classes, needs.pad_type, needs.std) == (7, "", None)


def test_a_pth_is_converted_once_and_gives_the_same_tensors(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "a.pth"
    shared = torch.arange(6.0).reshape(2, 3)
    torch.save({"state_dict": {"a": shared, "b": shared.t()}}, path)
    first = read_weights(path)
    assert torch.equal(first.tensors["b"], shared.t())
    [converted] = (cache / "weights").iterdir()
    made = converted.stat().st_mtime_ns
    assert read_weights(path).sha256 == first.sha256 == converted.stem
    assert converted.stat().st_mtime_ns == made


def test_a_malicious_pth_runs_no_code(tmp_path: Path) -> None:
    witness = tmp_path / "executed"

    class Malicious:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch {witness}",)

    torch.save({"x": Malicious()}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="runs no code"):
        read_weights(tmp_path / "bad.pth")
    assert not witness.exists()
    torch.load(tmp_path / "bad.pth", weights_only=False)  # the trap itself works
    assert witness.exists()


def test_weights_of_another_architecture_show_the_first_keys() -> None:
    weights = {"weight": torch.zeros(3, 2), "extra": torch.zeros(5)}
    with pytest.raises(InputError) as error:
        load_strictly(nn.Linear(4, 3), weights, source="f.safetensors")
    for words in (
        "f.safetensors holds the weights of another architecture",
        "1 missing: bias [3]",
        "1 not in the model: extra [5]",
        "weight is [3, 2], the model wants [3, 4]",
        "--encoder",
    ):
        assert words in str(error.value)


def test_a_missing_batch_counter_is_no_other_architecture() -> None:
    source = nn.BatchNorm1d(2)
    weights = {key: value + 1 for key, value in source.state_dict().items() if value.ndim}
    target = nn.BatchNorm1d(2)
    load_strictly(target, weights, source="f")
    assert torch.equal(target.running_mean, torch.ones(2))


def test_the_content_hash_changes_with_a_value_and_not_with_its_layout() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(3, 4, 3)
    before = content_hash(module)
    module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    assert content_hash(module) == before
    with torch.no_grad():
        module.bias[0] += 1e-6
    assert content_hash(module) != before


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"mean": "0.5,0.5"}, ["mean", "three numbers"]),
        ({"std": 3}, ["std", "three numbers"]),
        ({"pad_type": "valid"}, ["pad_type", "'valid'", "same"]),
        ({"num_classes": "many"}, ["num_classes", "many"]),
        ({"input": "3x224x192 RGB"}, ["3x224x192", "square"]),
        ({"input": "HSV"}, ["HSV", "3x224x224 RGB"]),
    ],
)
def test_needs_that_cannot_be_understood_are_refused(said: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        parse_needs(said, source="w.safetensors")
    assert all(word in str(error.value) for word in ["w.safetensors", *words]), str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.safetensors", None, ["there is no weights file", "absent.safetensors"]),
        ("a.h5", b"x", [".safetensors", ".h5"]),
        ("cut.safetensors", b"\x10\0\0\0\0\0\0\0{", ["not a whole safetensors file"]),
        ("cut.pth", b"PK\x03\x04 no zip", ["plain weights", "weights-only"]),
    ],
)
def test_files_that_are_no_weights_are_refused(
    tmp_path: Path, name: str, content: bytes | None, words: list[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_weights(tmp_path / name)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_pth_that_holds_something_else_and_a_json_that_is_none_are_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="state_dict"):
        read_weights(tmp_path / "list.pth")
    save_file({"x": torch.zeros(1)}, tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text("mean: 3")
    with pytest.raises(InputError, match=r"a\.json is not JSON"):
        read_weights(tmp_path / "a.safetensors")
