import numpy as np
import pytest
import torch
from torch import Tensor, nn

from labelbeam.encoders.networks import SqueezeNet11, TinyEncoder, Vgg16
from labelbeam.errors import InputError
from labelbeam.explain.methods import Deconvnet, cut_at, deconvolved, explained, last_map, smoothed
from labelbeam.explain.methods import deconvnet as deconvnet_maps

NETWORKS = {
    "squeezenet1_1": lambda: SqueezeNet11(),
    "tiny": lambda: TinyEncoder(width=16),
    "vgg16": lambda: Vgg16(width=2),
}


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def picture(size: int = 64, seed: int = 0) -> Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_a_linear_network_is_sent_back_by_its_gradient_whatever_the_seeds_sign() -> None:
    net = seeded(lambda: nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.BatchNorm2d(5), nn.Conv2d(5, 4, 3)))
    pixels = picture(16).requires_grad_()
    with Deconvnet():
        maps = net(pixels)
    seed = torch.randn(maps.shape, generator=torch.Generator().manual_seed(1))
    expected = torch.autograd.grad(net(pixels), pixels, seed)[0]
    torch.testing.assert_close(deconvolved(maps, pixels, seed), expected)


def test_switches_send_a_maximum_back_to_its_place_in_a_4_by_4_example() -> None:
    pixels = torch.tensor(
        [
            [1.0, 2.0, 0.0, 0.0],
            [3.0, 0.0, 0.0, 7.0],
            [0.0, 5.0, 1.0, 2.0],
            [0.0, 0.0, 4.0, 3.0],
        ]
    )[None, None].requires_grad_()
    with Deconvnet():
        maps = nn.functional.max_pool2d(torch.relu(pixels), 2)
    assert maps[0, 0].tolist() == [[3.0, 7.0], [5.0, 4.0]]
    back = deconvolved(maps, pixels, torch.tensor([[[[10.0, 20.0], [30.0, -40.0]]]]))
    # -40 is lost in the ReLU; the others return to where the maxima were.
    assert back[0, 0].tolist() == [
        [0.0, 0.0, 0.0, 0.0],
        [10.0, 0.0, 0.0, 20.0],
        [0.0, 30.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
    ]


def test_relu_looks_at_what_comes_back_and_not_at_what_went_in() -> None:
    pixels = torch.tensor([-1.0, 2.0, -3.0, 4.0], requires_grad=True)
    seed = torch.tensor([5.0, 6.0, -7.0, -8.0])
    with Deconvnet():
        maps = torch.relu(pixels)
    assert torch.autograd.grad(maps, pixels, seed)[0].tolist() == [5.0, 6.0, 0.0, 0.0]
    assert torch.autograd.grad(torch.relu(pixels), pixels, seed)[0].tolist() == [0.0, 6.0, 0.0, -8.0]


@pytest.mark.parametrize("inplace", [False, True])
def test_a_relu_that_works_in_place_changes_nothing(inplace) -> None:
    net = seeded(
        lambda: nn.Sequential(
            *(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=inplace), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3)),
            nn.ReLU(inplace=inplace),
        )
    )
    pixels = picture(12).requires_grad_()
    with Deconvnet():
        maps = net(pixels)
    back = deconvolved(maps, pixels, torch.ones_like(maps))
    torch.testing.assert_close(back, slow_deconvnet(net, pixels.detach(), torch.ones_like(maps)))


def slow_deconvnet(net: nn.Sequential, pixels: Tensor, seed: Tensor) -> Tensor:
    """Zeiler and Fergus's way back written out: unpooling by switches, ReLU, transposed filters."""
    switches, sizes, maps = [], [], pixels
    for layer in net:
        sizes.append(maps.shape)
        if isinstance(layer, nn.MaxPool2d):
            maps, places = nn.functional.max_pool2d(
                maps, layer.kernel_size, layer.stride, return_indices=True
            )
            switches.append(places)
        else:
            maps = layer(maps.clone())
    for layer, size in zip(reversed(net), reversed(sizes), strict=True):
        if isinstance(layer, nn.MaxPool2d):
            seed = nn.functional.max_unpool2d(seed, switches.pop(), 2, output_size=size[2:])
        elif isinstance(layer, nn.ReLU):
            seed = torch.relu(seed)
        else:
            seed = nn.functional.conv_transpose2d(
                seed, layer.weight, stride=layer.stride, padding=layer.padding
            )
    return seed


def test_vgg_goes_back_as_the_written_out_deconvnet() -> None:
    net = seeded(lambda: Vgg16(width=2)).features
    pixels = picture(32).requires_grad_()
    with Deconvnet():
        maps = net(pixels)
    seed = torch.rand(maps.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(deconvolved(maps, pixels, seed), slow_deconvnet(net, pixels.detach(), seed))


def test_captum_sends_the_same_back() -> None:
    attr = pytest.importorskip(
        "captum.attr", reason="pip install -c constraints.txt captum to compare with it"
    )
    net = seeded(lambda: Vgg16(width=2)).features
    flat = nn.Sequential(net, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    pixels = picture(32).requires_grad_()
    with Deconvnet():
        feature = flat(pixels)[0, 3]
    ours = torch.autograd.grad(feature, pixels)[0]
    with pytest.warns(UserWarning, match="Setting backward hooks on ReLU"):
        theirs = attr.Deconvolution(flat).attribute(picture(32), target=3)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_deconvnet_does_not_change_what_the_network_says(name) -> None:
    net = seeded(NETWORKS[name])
    cut = cut_at(net, last_map(net, picture()), picture(), deconvnet=True)
    torch.testing.assert_close(cut.features, net(picture()), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(cut.below, cut.maps)


@pytest.mark.parametrize("name", NETWORKS)
def test_auto_takes_the_deconvnet_for_networks_of_relu_and_max_pooling(name) -> None:
    net = seeded(NETWORKS[name])
    method, maps = explained(net, picture(), lambda features: features[0, :3], method="auto")
    assert method == "deconvnet"
    assert maps.shape == (3, 2, 64, 64)
    assert (maps >= 0).all()
    assert maps.sum() > 0


def test_the_gradient_above_the_map_is_the_plain_one() -> None:
    net = seeded(lambda: Vgg16(width=2))
    cut = cut_at(net, last_map(net, picture()), picture(), deconvnet=True)
    ours = torch.autograd.grad(cut.features[0, 5], cut.maps)[0]
    maps = cut.maps.detach().requires_grad_()
    plain = net.classifier(torch.flatten(maps, 1))
    theirs = torch.autograd.grad(torch.relu(plain)[0, 5], maps)[0]
    torch.testing.assert_close(ours, theirs)


def test_the_parts_of_a_seed_go_apart_so_that_opposite_targets_swap_maps() -> None:
    net = seeded(lambda: SqueezeNet11())
    cut = cut_at(net, last_map(net, picture()), picture(), deconvnet=True)
    w = torch.randn(512, generator=torch.Generator().manual_seed(2))
    for_, against = deconvnet_maps(cut, lambda features: torch.stack((features[0] @ w, -features[0] @ w)))
    scale = for_.max()
    torch.testing.assert_close(for_[0] / scale, against[1] / scale)
    torch.testing.assert_close(for_[1] / scale, against[0] / scale)
    assert not torch.allclose(for_[0] / scale, for_[1] / scale, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("layer", "word"), [(nn.Sigmoid(), "sigmoid"), (nn.GELU(), "gelu"), (nn.ReLU6(), "hardtanh")]
)
def test_another_non_linearity_is_refused_by_name_and_auto_falls_back(layer, word) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 4, 3), layer)

        def forward(self, pixels: Tensor) -> Tensor:
            return self.features(pixels).mean((2, 3))

    net = Small().eval()
    with pytest.raises(InputError) as refused:
        explained(net, picture(8), lambda features: features[0], method="deconvnet")
    for part in ("ReLU and max pooling only", word, "--method grad-cam"):
        assert part in str(refused.value)
    assert explained(net, picture(8), lambda features: features[0])[0] == "grad-cam"


def test_a_blur_keeps_the_sum_of_what_is_inside() -> None:
    one = torch.zeros(1, 40, 40)
    one[0, 20, 12] = 2.0
    blurred = smoothed(one)
    assert np.isclose(float(blurred.sum()), 2.0)
    assert int(blurred.argmax()) == 20 * 40 + 12
