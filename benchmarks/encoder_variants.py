"""What benchmarks of encoders share: the photographs, and an encoder by every engine and precision."""

from pathlib import Path

from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.engines import with_engine
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError

VARIANTS = (
    *(("torch", "float32"), ("onnx", "float32"), ("openvino", "float32")),
    *(("torch", "bfloat16"), ("openvino", "bfloat16")),
    *(("onnx", "int8"), ("openvino", "int8")),
)


def photographs(data: Path, split: str) -> list[Path]:
    folder = data / "VOCdevkit/VOC2007"
    names = (folder / f"ImageSets/Main/{split}.txt").read_text().split()
    return [folder / f"JPEGImages/{name}.jpg" for name in names]


def variants(encoder: ImageEncoder, calibration: list[Path]) -> dict[str, Encoder]:
    """Return the encoder by every engine and precision that is installed."""
    made = {}
    for engine, precision in VARIANTS:
        try:
            made[f"{engine} {precision}"] = with_engine(
                encoder, engine=engine, precision=precision, photographs=calibration
            )
        except InputError as error:
            print(f"{engine} {precision}: {error}", flush=True)
    return made
