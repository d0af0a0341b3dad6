import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from labelbeam.encoders.networks import SqueezeNet11
from labelbeam.errors import InputError
from labelbeam.explain.methods import cut_at, explained, grad_cam, gradient_input, last_map


class Small(nn.Module):
    """Two convolutions with SiLU, pooled: no deconvnet goes through it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.SiLU(), nn.Conv2d(6, 4, 3, stride=2))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.body(pixels).mean((2, 3))


class Tokens(nn.Module):
    """A network that turns its only map into tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.last = nn.Conv2d(3, 8, 4, stride=4), nn.LayerNorm(8)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.last(self.patches(pixels).flatten(2).transpose(1, 2)).mean(dim=1)


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def picture(size: int = 32) -> Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))


def ranks(values: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values.ravel(), kind="stable"), kind="stable")


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's, between signed maps."""
    signed = [ranks((maps[0, 0] - maps[0, 1]).numpy()) for maps in (one, other)]
    return float(np.corrcoef(*signed)[0, 1])


def with_shuffled_weights(net: nn.Module, seed: int) -> nn.Module:
    net, generator = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.reshape(-1)[order].reshape(parameter.shape))
    return net


def test_grad_cam_is_the_gradient_weighted_sum_of_channels() -> None:
    net, pixels = seeded(Small), picture()
    place = last_map(net, pixels)
    assert place is not None
    assert place.module is net.body
    cut = cut_at(net, place, pixels, deconvnet=False)
    maps = net.body(pixels).detach()[0]  # [4 h w]
    # The mean over the map has gradient 1 / (h w) everywhere, so the sum weighs channel 2 by that.
    expected = maps[2] / maps[2].numel()
    large = nn.functional.interpolate(expected[None, None], size=(32, 32), mode="bicubic")[0, 0]
    found = grad_cam(cut, lambda features: features[0, 2:3])[0]
    torch.testing.assert_close(found[0] - found[1], large)
    assert (found[0] * found[1] == 0).all()


def test_gradient_times_input_of_a_linear_network_adds_up_to_its_output() -> None:
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 2, 3, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    # Constant towards the border, so that the blur moves nothing over it.
    pixels = torch.zeros(1, 3, 64, 64)
    pixels[:, :, 24:40, 24:40] = picture(16)
    supporting, opposing = gradient_input(net, pixels, lambda features: features[0, :1])[0]
    assert float(supporting.sum() - opposing.sum()) == pytest.approx(net(pixels)[0, 0].item(), rel=1e-3)


def test_captum_gives_the_same_grad_cam() -> None:
    attr = pytest.importorskip(
        "captum.attr", reason="pip install -c constraints.txt captum to compare with it"
    )
    net, pixels = seeded(SqueezeNet11), picture(64)
    theirs = attr.LayerGradCam(net, net.features).attribute(pixels, target=7)
    cut = cut_at(net, last_map(net, pixels), pixels, deconvnet=False)
    ours = grad_cam(cut, lambda features: features[0, 7:8])[0]
    large = nn.functional.interpolate(theirs.detach(), size=(64, 64), mode="bicubic", align_corners=False)
    torch.testing.assert_close(ours[0] - ours[1], large[0, 0])


def test_tokens_get_gradients_times_input_and_say_so_when_asked_for_a_map() -> None:
    net = seeded(Tokens)
    assert explained(net, picture(), lambda features: features[0, :1])[0] == "gradient-input"
    for method in ("deconvnet", "grad-cam"):
        with pytest.raises(InputError, match=r"works on tokens.*gradient-input"):
            explained(net, picture(), lambda features: features[0, :1], method=method)


def test_an_unknown_method_gets_the_nearest_one() -> None:
    with pytest.raises(InputError, match="Did you mean 'grad-cam'"):
        explained(seeded(Small), picture(), lambda features: features[0, :1], method="gradcam")


@pytest.mark.parametrize("method", ["deconvnet", "grad-cam", "gradient-input"])
def test_shuffled_weights_change_the_map(method) -> None:
    net, pixels = seeded(SqueezeNet11), picture(96)
    target = torch.randn(512, generator=torch.Generator().manual_seed(5))

    def targets(features: Tensor) -> Tensor:
        return features @ target

    _, maps = explained(net, pixels, targets, method=method)
    _, again = explained(net, pixels, targets, method=method)
    assert rank_correlation(maps, again) == pytest.approx(1.0)
    # A Grad-CAM of 5 x 5 numbers correlates by chance with one other; not with six.
    others = [
        explained(with_shuffled_weights(net, seed), pixels, targets, method=method) for seed in range(6)
    ]
    assert abs(np.mean([rank_correlation(maps, other) for _, other in others])) < 0.5


@pytest.mark.parametrize("method", ["deconvnet", "grad-cam"])
def test_shuffled_weights_change_the_map_of_a_trained_network_on_photographs(method, labelbeam_data) -> None:
    """Adebayo et al., 2018: a map that survives this shows the picture's edges, not what the model knows."""
    from labelbeam.data.images import read_rgb
    from labelbeam.encoders.catalogue import EncoderConfig, build_encoder

    weights = labelbeam_data / "weights/squeezenet1_1_features.safetensors"
    photo = next((labelbeam_data / "demo").glob("chelsea.*"))
    encoder = build_encoder(EncoderConfig("squeezenet1_1", weights=weights))
    pixels = encoder.preprocess(read_rgb(photo))[None]
    target = torch.randn(512, generator=torch.Generator().manual_seed(5))

    def targets(features: Tensor) -> Tensor:
        return features @ target

    _, maps = explained(encoder.module, pixels, targets, method=method)
    correlations = []
    for seed in range(3):
        _, other = explained(with_shuffled_weights(encoder.module, seed), pixels, targets, method=method)
        correlations.append(rank_correlation(maps, other))
    assert max(map(abs, correlations)) < 0.6
    # And another head on the same encoder: the map is of the label, not of the picture.
    _, reversed_ = explained(encoder.module, pixels, lambda features: -features @ target, method=method)
    assert rank_correlation(maps, reversed_) == pytest.approx(-1.0, abs=1e-3)
