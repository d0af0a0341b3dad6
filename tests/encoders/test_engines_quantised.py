"""What is left in float when a graph is rounded to 8 bits, read from graphs written by hand."""

import numpy as np
import pytest

from labelbeam.encoders.engines import left_in_float

onnx = pytest.importorskip("onnx")


def graph(*layers: tuple[str, str, str, tuple[int, ...]]) -> object:
    """Make a graph of (operation, input, output, shape of the weights; empty: none), nodes named by their output."""
    nodes, constants = [], []
    for operation, given, made, shape in layers:
        inputs = [given]
        if shape:
            inputs.append(f"{made}.weight")
            constants.append(onnx.numpy_helper.from_array(np.zeros(shape, dtype=np.float32), inputs[1]))
        nodes.append(onnx.helper.make_node(operation, inputs, [made], name=made))
    return onnx.helper.make_graph(nodes, "written by hand", [], [], constants)


def test_the_first_convolution_its_activation_and_depthwise_ones_stay_in_float() -> None:
    mobile = graph(
        ("Mul", "pixels", "normalised", ()),
        ("Conv", "normalised", "stem", (32, 3, 3, 3)),
        ("Clip", "stem", "clipped", ()),
        ("Conv", "clipped", "depthwise", (32, 1, 3, 3)),
        ("Clip", "depthwise", "clipped too", ()),
        ("Conv", "clipped too", "pointwise", (16, 32, 1, 1)),
        ("Conv", "pointwise", "grouped", (16, 4, 3, 3)),
    )
    assert left_in_float(mobile) == ["stem", "clipped", "depthwise"]


def test_a_first_convolution_of_grey_pictures_is_named_once() -> None:
    grey = graph(("Conv", "pixels", "stem", (8, 1, 3, 3)), ("Relu", "stem", "positive", ()))
    assert left_in_float(grey) == ["stem", "positive"]


def test_a_network_without_convolutions_is_rounded_as_a_whole() -> None:
    assert left_in_float(graph(("MatMul", "pixels", "features", (3, 2)))) == []
