"""The networks themselves: tiny, VGG-16, SqueezeNet 1.1, and timm's behind one interface."""

from pathlib import Path

import pytest
import torch
from torch import nn

from labelbeam.encoders import timm_encoder
from labelbeam.encoders.image_encoder import probe
from labelbeam.encoders.networks import Gem, SqueezeNet11, TinyEncoder, Vgg16
from labelbeam.errors import InputError


def test_tiny_has_256_features_and_the_size_its_docstring_says() -> None:
    encoder = TinyEncoder()
    assert encoder.num_features == 256
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(0.31e6, rel=0.01)


@pytest.mark.parametrize(("size", "millions"), [(96, 35), (64, 15)])
def test_tiny_takes_the_multiplications_its_docstring_says(size: int, millions: int) -> None:
    total = 0

    def count(conv: nn.Conv2d, inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        total += conv.weight.numel() * output.shape[2] * output.shape[3]

    encoder = TinyEncoder().eval()
    for part in encoder.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(count)
    encoder(torch.zeros(1, 3, size, size))
    assert round(total / 1e6) == millions


def test_tiny_pools_average_and_maximum_side_by_side() -> None:
    torch.manual_seed(0)
    both = TinyEncoder(16, "avg+max").eval()
    pixels = torch.randn(2, 3, 64, 64)
    maps = both.stages(pixels)
    assert torch.equal(both(pixels), torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1))
    both.pooling = "max"
    assert torch.equal(both(pixels), maps.amax((2, 3)))


def torchvision_layout(width: int) -> nn.Module:
    """A twin of torchvision's VGG-16 written without its operators: same keys, same order, same pooling."""
    layers: list[nn.Module] = []
    channels = 3
    for step in (1, 1, 0, 2, 2, 0, 4, 4, 4, 0, 8, 8, 8, 0, 8, 8, 8, 0):
        if step:
            layers += [nn.Conv2d(channels, step * width, 3, padding=1), nn.ReLU()]
            channels = step * width
        else:
            layers.append(nn.MaxPool2d(2, 2))
    hidden = 64 * width
    head = nn.Sequential(
        *(nn.Linear(channels * 49, hidden), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, 10)),
    )
    return nn.ModuleDict({"features": nn.Sequential(*layers), "classifier": head})


def test_vgg16_gives_fc7_of_the_torchvision_layout_before_and_after_relu() -> None:
    torch.manual_seed(0)
    twin = torchvision_layout(1).eval()
    state = {key: value for key, value in twin.state_dict().items() if not key.startswith("classifier.6.")}
    encoder = Vgg16(1, "fc7").eval()
    encoder.load_state_dict(state)
    pixels = torch.randn(2, 3, 224, 224)
    fc7 = twin["classifier"][:4](twin["features"](pixels).flatten(1))
    assert torch.allclose(encoder(pixels), fc7)
    encoder.feature = "fc7-relu"
    assert torch.allclose(encoder(pixels), fc7.relu())


def test_vgg16_at_full_width_has_the_papers_dimensions() -> None:
    with torch.device("meta"):
        encoder = Vgg16()
    assert encoder.num_features == 4096
    shapes = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    assert shapes["features.28.weight"] == (512, 512, 3, 3)
    assert shapes["classifier.0.weight"] == (4096, 25088)
    assert shapes["classifier.3.weight"] == (4096, 4096)


@pytest.mark.parametrize("module", [TinyEncoder(16), Vgg16(1), SqueezeNet11()])
def test_no_relu_works_in_place(module: nn.Module) -> None:
    assert not any(part.inplace for part in module.modules() if isinstance(part, nn.ReLU))


def test_squeezenets_poolings_are_those_of_its_trunk() -> None:
    torch.manual_seed(0)
    encoder = SqueezeNet11("avg+max").eval()
    pixels = torch.randn(1, 3, 65, 65)
    maps = encoder.features(pixels)
    assert torch.equal(encoder(pixels), torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1))


def test_gem_lies_between_average_and_maximum_in_either_layout() -> None:
    maps = torch.rand(2, 3, 4, 5)
    gem = Gem(channels_last=False)(maps)
    assert torch.all(gem >= maps.mean((2, 3)))
    assert torch.all(gem <= maps.amax((2, 3)))
    assert torch.allclose(Gem(channels_last=True)(maps.permute(0, 2, 3, 1)), gem)
    assert torch.allclose(gem[0, 0], (maps[0, 0] ** 3).mean() ** (1 / 3))


@pytest.mark.parametrize(
    ("model", "pooling", "features"),
    [
        ("test_resnet", "default", 96),
        ("test_resnet", "catavgmax", 192),
        ("test_resnet", "gem", 96),
        ("test_efficientnet", "max", 256),
        ("test_convnext", "avgmax", 64),
        ("test_convnext", "gem", 64),
        ("test_vit", "token", 64),
        ("test_vit", "avg", 64),
    ],
)
def test_timm_models_give_one_row_per_image(model: str, pooling: str, features: int) -> None:
    module = timm_encoder.build(model, pooling).eval()
    assert probe(module, size=160, name=model) == features


def test_a_vit_changes_size_when_built_for_another() -> None:
    module = timm_encoder.build("test_vit", size=96)
    assert probe(module, size=96, name="test_vit") == 64


def test_the_layout_of_a_pooled_map_does_not_change_what_gem_gives() -> None:
    module = timm_encoder.build("test_resnet", "gem").eval()
    pixels = torch.rand(2, 3, 64, 64)
    expected = Gem(channels_last=False)(module.forward_features(pixels))
    assert torch.allclose(module(pixels), expected)


def test_short_names_are_published_timm_weights() -> None:
    for name, (full, size) in timm_encoder.FRIENDLY.items():
        architecture, tag, usual = timm_encoder.full_name(name)
        assert f"{architecture}.{tag}" == full
        assert usual == size
        assert len(timm_encoder.published_input(architecture, tag)["mean"]) == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: TinyEncoder(width=20), ["multiple of 16", "20"]),
        (lambda: TinyEncoder(pooling="gem"), ["pooling", "avg+max"]),
        (lambda: Vgg16(1, "fc8"), ["Did you mean 'fc7'", "fc7-relu"]),
        (lambda: SqueezeNet11("mean"), ["pooling", "avg"]),
        (
            lambda: timm_encoder.full_name("resnt50", ours=["vgg16"]),
            ["unknown encoder", "Did you mean 'resnet50'", "vgg16"],
        ),
        (lambda: timm_encoder.full_name("dinov"), ["Did you mean 'dinov2'"]),
        (lambda: timm_encoder.full_name("resnet50.a1_in2k"), ["tag", "Did you mean 'a1_in1k'"]),
        (lambda: timm_encoder.build("test_resnet", "average"), ["unknown pooling", "avg"]),
        (
            lambda: timm_encoder.build("test_resnet", "token"),
            ["takes no pooling 'token'", "--pooling default"],
        ),
        (lambda: timm_encoder.build("test_vit", "gem"), ["no single pooled map", "--pooling default"]),
        (lambda: timm_encoder.build("test_resnet", pad_type="same"), ["takes no pad_type", "--pad-type"]),
    ],
)
def test_what_a_network_does_not_have_is_refused_with_words_that_repair_it(call, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)


def test_squeezenets_real_weights_load_and_respond(labelbeam_data: Path) -> None:
    from labelbeam.encoders.catalogue import EncoderConfig, build_encoder

    path = labelbeam_data / "weights/squeezenet1_1_features.safetensors"
    encoder = build_encoder(EncoderConfig("squeezenet1_1", path))
    assert encoder.num_features == 512
    assert (encoder.preprocess.channels, encoder.preprocess.scale) == ("BGR", 255.0)
    assert encoder.preprocess.mean == (103.939, 116.779, 123.68)
