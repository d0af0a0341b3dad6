import pytest

from labelbeam.encoders.encoder import Accelerators, accelerator_for, place_on
from labelbeam.encoders.graph_encoder import execution_providers
from labelbeam.errors import InputError


def test_processes_that_are_not_joined_are_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("accelerate.Accelerator", lambda **_: type("One", (), {"num_processes": 1})())
    with pytest.raises(InputError, match=r"2 processes were launched, but they are not joined.*torchrun"):
        accelerator_for("no")


def test_one_process_needs_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert accelerator_for("no").num_processes == 1


@pytest.mark.parametrize(
    ("seen", "device", "batch_size", "precision"),
    [
        (Accelerators(), "cpu", 16, "no"),
        (Accelerators(mps=True), "mps", 32, "no"),
        (Accelerators(cuda=80 * 2**30, bf16=True), "cuda", 256, "bf16"),
        (Accelerators(cuda=4 * 2**30), "cuda", 32, "fp16"),
        (Accelerators(cuda=1), "cuda", 1, "fp16"),
    ],
)
def test_device_batch_and_precision_follow_from_what_torch_sees(
    seen: Accelerators, device: str, batch_size: int, precision: str
) -> None:
    place = place_on(seen)
    assert (place.device, place.batch_size, place.precision) == (device, batch_size, precision)
    assert device in str(place)


def test_onnx_runtime_tries_what_is_there_in_the_order_of_speed() -> None:
    made_up = [
        "AzureExecutionProvider",
        "CPUExecutionProvider",
        "DmlExecutionProvider",
        "CUDAExecutionProvider",
    ]
    chosen = execution_providers(made_up)
    assert [name for name, _ in chosen] == [
        "CUDAExecutionProvider",
        "DmlExecutionProvider",
        "CPUExecutionProvider",
    ]
    assert dict(chosen)["CUDAExecutionProvider"] == {"use_tf32": 0}  # features as the processor's
    assert execution_providers(["CoreMLExecutionProvider", "CPUExecutionProvider"])[0][0].startswith("CoreML")
