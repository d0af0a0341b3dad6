"""How fast things are, images a second: as measured on 2 cores, and as assumed for a GPU, where none was at hand.

Every number says where it comes from; `expected_time` computes with them and repeats it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MEASURED: Mapping[str, Mapping[str, tuple[float | None, float]]] = {
    "voc2007": {
        "cnn-rnn": (207, 43.5),
        "no-rnn": (465, 243),
        "sigmoid": (1700, 6340),
        "sigmoid-mlp": (1910, 3790),
        "any-subset": (794, 3550),
        "softmax": (6960, 77200),
        "warp": (7360, 15000),
        "asymmetric": (9670, 10500),
        "chow-liu": (574, 8030),
        "knn": (None, 551),
    },
    "coco2014": {
        "cnn-rnn": (381, 37.6),
        "no-rnn": (825, 61.7),
        "sigmoid": (2600, 12500),
        "sigmoid-mlp": (898, 2790),
        "any-subset": (1670, 3470),
        "softmax": (3170, 14800),
        "warp": (627, 6810),
        "asymmetric": (2790, 20800),
        "chow-liu": (1210, 1350),
        "knn": (None, 857),
    },
    "nuswide81": {
        "cnn-rnn": (412, 67.9),
        "no-rnn": (643, 89.6),
        "sigmoid": (1170, 4210),
        "sigmoid-mlp": (544, 1640),
        "any-subset": (885, 3290),
        "softmax": (825, 3730),
        "warp": (482, 5570),
        "asymmetric": (748, 5140),
        "chow-liu": (703, 774),
        "knn": (None, 415),
    },
    "nuswide1000": {
        "cnn-rnn": (64, 3.58),
        "no-rnn": (496, 6.04),
        "sigmoid": (1220, 2850),
        "sigmoid-mlp": (437, 2040),
        "any-subset": (875, 1730),
        "softmax": (875, 1590),
        "warp": (715, 2170),
        "asymmetric": (448, 2770),
        "chow-liu": (92.7, 148),
        "knn": (None, 438),
    },
}
"""By benchmark and head: training and answering rates. 4,096 features an image, real label sets (of the 1,000
tags: drawn ones), untrained heads, batches of 256: `python benchmarks/reproduction_rates.py`, on 2 cores that
other work shared (load average 2 to 6), so they are on the slow side; searches of an untrained head take longest. The
scenes have those of voc2007, whose features are sixteen times as many."""

HEADS_ON_TWO_CORES = {**MEASURED, "scenes": MEASURED["voc2007"]}


@dataclass(frozen=True)
class Machine:
    """What a kind of machine does.

    Attributes:
        name: in a table.
        decode: images a second, from JPEG file to network input.
        encode: images a second by encoder, decoding left out; others are not known.
        training_factor: how many times as fast as 2 cores heads train.
        answering_factor: the same for answering.
        measured: whether the numbers were measured.
        told: where they come from.
    """

    name: str
    decode: float
    encode: Mapping[str, float]
    training_factor: float
    answering_factor: float
    measured: bool
    told: str


TWO_CORES = Machine(
    "2 cores",
    decode=2000.0,
    encode={"vgg16": 6.0, "mobilenetv2_100": 113.0, "tiny": 800.0},
    training_factor=1.0,
    answering_factor=1.0,
    measured=True,
    told=(
        "Measured on 2 cores without a GPU: VGG-16 in single precision, 6.0 images a second; MobileNetV2 with "
        "decoding, 107 (benchmarks/features.py); JPEG to 224 pixels, 1,000 a core; heads by "
        "benchmarks/reproduction_rates.py."
    ),
)

GPU_FLOPS, VGG16_FLOPS = 10e12, 31e9

ONE_GPU = Machine(
    "one GPU",
    decode=8000.0,
    encode={"vgg16": GPU_FLOPS / VGG16_FLOPS, "mobilenetv2_100": 2500.0, "tiny": 10_000.0},
    training_factor=5.0,
    answering_factor=4.0,
    measured=False,
    told=(
        "Not measured, since no GPU was at hand: a card that sustains 10 TFLOP/s (VGG-16: 31 GFLOP an image), 8 cores "
        "that decode 1,000 JPEGs a second each, heads that train 5 times as fast, searches on 4 times the cores."
    ),
)

MACHINES = (TWO_CORES, ONE_GPU)
