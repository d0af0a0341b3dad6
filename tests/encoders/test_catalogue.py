import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from labelbeam.encoders import timm_encoder
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder, load_encoder, rebuild_encoder
from labelbeam.encoders.image_encoder import ImageEncoder, save_encoder
from labelbeam.encoders.networks import Vgg16
from labelbeam.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def mobilenet(data: Path) -> Path:
    return data / "weights/mobilenetv2_100.tf_in1k.safetensors"


def same(first: ImageEncoder, second: ImageEncoder) -> bool:
    size = first.preprocess.size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        agree = torch.equal(first.module(pixels), second.module(pixels))
    return agree and first.identity == second.identity and first.config == second.config


def test_the_weights_file_alone_says_which_encoder_it_is(labelbeam_data: Path) -> None:
    encoder = build_encoder(EncoderConfig("", mobilenet(labelbeam_data)))
    assert encoder.arguments["model"] == "mobilenetv2_100"
    assert encoder.arguments["pad_type"] == "same"
    assert (encoder.num_features, encoder.preprocess.size) == (1280, 224)
    assert encoder.preprocess.mean == (0.5, 0.5, 0.5)


def test_mobilenets_real_weights_know_a_cat_and_a_rocket(labelbeam_data: Path) -> None:
    """The classifier of the file, on our features of public pictures, gives the right names."""
    encoder = build_encoder(EncoderConfig("", mobilenet(labelbeam_data)))
    head = load_file(mobilenet(labelbeam_data))
    names = (labelbeam_data / "weights/imagenet_labels.txt").read_text().splitlines()
    for picture, word in (("chelsea", "cat"), ("rocket", "missile"), ("coffee", "espresso")):
        [path] = (labelbeam_data / "demo").glob(f"{picture}.*")
        rgb = np.array(Image.open(path).convert("RGB"))
        with torch.inference_mode():
            features = encoder.module(encoder.preprocess(rgb).unsqueeze(0))
        logits = features @ head["classifier.weight"].T + head["classifier.bias"]
        best = [names[i] for i in logits[0].topk(3).indices]
        assert any(word in name for name in best), best


@pytest.mark.parametrize(
    "config",
    [
        EncoderConfig("tiny", size=64, seed=3),
        EncoderConfig("tiny", pooling="max", width=32),
        EncoderConfig("vgg16", pretrained=False, width=1, feature="fc7"),
        EncoderConfig("squeezenet1_1", pretrained=False, pooling="avg+max"),
        EncoderConfig("test_resnet", pretrained=False, pooling="gem", size=64),
        EncoderConfig("test_vit", pretrained=False, pooling="avg", size=96),
        EncoderConfig("test_convnext", pretrained=False, resize="squash", horizontal_flip=True),
        EncoderConfig("test_efficientnet", pretrained=False, pad_type="same"),
    ],
    ids=lambda config: f"{config.name}-{config.pooling}",
)
def test_every_encoder_is_rebuilt_from_its_file_alone(config: EncoderConfig, tmp_path: Path) -> None:
    encoder = build_encoder(config)
    assert same(encoder, load_encoder(save_encoder(encoder, tmp_path / "encoder.safetensors")))
    described = json.loads(json.dumps(encoder.config))
    assert same(encoder, rebuild_encoder(described, encoder.module.state_dict(), source="run"))


def test_the_transform_of_a_file_labelbeam_wrote_can_still_be_changed(tmp_path: Path) -> None:
    path = save_encoder(build_encoder(EncoderConfig("tiny", seed=1)), tmp_path / "e.safetensors")
    again = build_encoder(EncoderConfig("tiny", path, size=64))
    assert again.preprocess.size == 64
    assert again.identity == build_encoder(EncoderConfig("tiny", seed=1)).identity
    with pytest.raises(InputError, match="another architecture: 'tiny'"):
        build_encoder(EncoderConfig("vgg16", path))
    with pytest.raises(InputError, match=r"was written with pooling 'avg\+max', asked for 'max'"):
        build_encoder(EncoderConfig("", path, pooling="max"))


def test_a_store_keeps_equal_encoders_once(tmp_path: Path) -> None:
    encoder, store = build_encoder(EncoderConfig("tiny", width=16)), tmp_path / "store"
    first = save_encoder(encoder, tmp_path / "a.safetensors", store=store)
    second = save_encoder(encoder, tmp_path / "b.safetensors", store=store)
    assert first.stat().st_ino == second.stat().st_ino
    assert len(list(store.iterdir())) == 1
    save_encoder(build_encoder(EncoderConfig("tiny", width=16, seed=9)), first, store=store)
    assert same(load_encoder(second), encoder)
    assert len(list(store.iterdir())) == 2


def test_initial_values_follow_the_seed_and_leave_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    one, two, other = (build_encoder(EncoderConfig("tiny", width=16, seed=s)) for s in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.identity == two.identity != other.identity


def test_training_an_encoder_changes_its_identity() -> None:
    encoder = build_encoder(EncoderConfig("tiny", width=16))
    before = encoder.identity
    with torch.no_grad():
        next(encoder.module.parameters()).mul_(1.001)
    assert encoder.identity != before


def small_vgg(path: Path, metadata: dict[str, str] | None = None) -> Path:
    state = Vgg16(1).state_dict()
    extra = {"classifier.6.weight": torch.zeros(10, 64), "classifier.6.bias": torch.zeros(10)}
    save_file({**state, **extra}, path, metadata=metadata)
    return path


def test_vgg16_reads_a_torchvision_file_whose_json_says_caffe(tmp_path: Path) -> None:
    path = small_vgg(tmp_path / "vgg.safetensors")
    path.with_suffix(".json").write_text(json.dumps({"input": "BGR 0..255 minus (103.939, 116.779, 123.68)"}))
    encoder = build_encoder(EncoderConfig("vgg16", path, width=1))
    assert encoder.num_features == 64
    assert (encoder.preprocess.resize_to, encoder.preprocess.channels) == (256, "BGR")


def test_flags_override_what_the_file_says(tmp_path: Path) -> None:
    said = {"mean": "0.5,0.5,0.5", "std": "0.5,0.5,0.5", "input": "3x224x224 RGB"}
    path = small_vgg(tmp_path / "vgg.safetensors", said)
    encoder = build_encoder(EncoderConfig("vgg16", path, width=1, mean=(0.1, 0.2, 0.3), size=112))
    assert encoder.preprocess.mean == (0.1, 0.2, 0.3)
    assert encoder.preprocess.std == (0.5, 0.5, 0.5)
    assert (encoder.preprocess.size, encoder.preprocess.resize_to) == (112, 128)


def efficientnet(path: Path, metadata: dict[str, str]) -> Path:
    module = timm_encoder.timm_module().create_model("mobilenetv2_035", num_classes=5)
    save_file(module.state_dict(), path, metadata=metadata)
    return path


def test_what_nobody_says_is_an_error_that_names_the_keys(tmp_path: Path) -> None:
    bare = small_vgg(tmp_path / "bare.safetensors")
    with pytest.raises(InputError) as error:
        build_encoder(EncoderConfig("vgg16", bare, width=1))
    for words in (
        "does not say mean, std, input",
        "shapes cannot tell",
        "--mean",
        "--channels RGB",
        "bare.json",
    ):
        assert words in str(error.value)
    said = {"mean": "0,0,0", "std": "1,1,1", "input": "3x224x224 RGB"}
    path = efficientnet(tmp_path / "e.safetensors", said)
    with pytest.raises(InputError, match="does not say pad_type") as error:
        build_encoder(EncoderConfig("mobilenetv2_035", path))
    assert "--pad-type same" in str(error.value)
    assert build_encoder(EncoderConfig("mobilenetv2_035", path, pad_type="")).num_features == 1280


def test_padding_changes_features_that_shapes_cannot_tell_apart(tmp_path: Path) -> None:
    said = {"mean": "0,0,0", "std": "1,1,1", "input": "3x224x224 RGB"}
    path = efficientnet(tmp_path / "e.safetensors", said)
    same_pad, symmetric = (
        build_encoder(EncoderConfig("mobilenetv2_035", path, pad_type=p)) for p in ("same", "")
    )
    assert same_pad.identity != symmetric.identity
    assert not same(same_pad, symmetric)


def test_a_published_tag_says_what_its_file_needs(tmp_path: Path) -> None:
    module = timm_encoder.timm_module().create_model("test_resnet")
    path = tmp_path / "model.safetensors"
    save_file(module.state_dict(), path)
    encoder = build_encoder(EncoderConfig("test_resnet.r160_in1k", path))
    assert encoder.preprocess.size == 160
    with pytest.raises(InputError, match="does not say mean"):
        build_encoder(EncoderConfig("test_resnet", path))


def test_published_weights_are_read_from_the_hubs_local_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = timm_encoder.timm_module().create_model("test_vit")
    save_file(module.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(timm_encoder, "published_file", lambda model, tag: tmp_path / "model.safetensors")
    encoder = build_encoder(EncoderConfig("test_vit"))
    local = build_encoder(EncoderConfig("test_vit.r160_in1k", tmp_path / "model.safetensors"))
    assert same(encoder, local)


def test_offline_published_weights_are_refused_at_once_with_the_way_out() -> None:
    with pytest.raises(InputError) as error:
        build_encoder(EncoderConfig("dinov2"))
    for words in (
        "not on this machine",
        "HF_HUB_OFFLINE",
        "--weights FILE",
        "vit_base_patch14_reg4_dinov2.lvd142m",
    ):
        assert words in str(error.value)


def test_a_hub_that_does_not_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="hub does not answer"):
        build_encoder(EncoderConfig("test_vit"))


def test_weights_of_another_architecture_are_refused(labelbeam_data: Path) -> None:
    path = mobilenet(labelbeam_data)
    with pytest.raises(InputError, match="says timm_model 'mobilenetv2_100', asked for 'resnet18'"):
        build_encoder(EncoderConfig("resnet18", path))
    with pytest.raises(InputError) as error:
        build_encoder(EncoderConfig("vgg16", path))
    assert "missing: features.0.weight" in str(error.value)


def test_options_an_encoder_does_not_have_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    for config, words in (
        (EncoderConfig("vgg16", pretrained=False, pooling="max"), "no pooling to choose"),
        (EncoderConfig("", None), "no encoder is named"),
        (EncoderConfig("", tmp_path / "x.safetensors"), "names no timm_model"),
        (EncoderConfig("squeezenet1_1"), "--weights FILE"),
        (EncoderConfig("test_vit", pretrained=False, size=97), "97 px"),
        (EncoderConfig("tiny", size=-1), "size must be 1 to 4096"),
    ):
        with pytest.raises(InputError, match=words):
            build_encoder(config)
    with pytest.raises(InputError, match="not written by labelbeam"):
        load_encoder(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="Did you mean 'vgg16'"):
        rebuild_encoder({"architecture": "vgg19"}, {}, source="run")
