"""How fast things are, images a second: as measured on 2 cores, and as assumed for a GPU, where none was at hand.

Every number says where it comes from; `expected_time` computes with them and repeats it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MEASURED: Mapping[str, Mapping[str, tuple[float | None, float]]] = {
    "voc2007": {
        "cnn-rnn": (207.0, 43.5),
        "no-rnn": (465.0, 243.0),
        "sigmoid": (1700.0, 6340.0),
        "sigmoid-mlp": (1910.0, 3790.0),
        "any-subset": (794.0, 3550.0),
        "softmax": (6960.0, 77200.0),
        "warp": (7360.0, 15000.0),
        "asymmetric": (9670.0, 10500.0),
        "chow-liu": (574.0, 8030.0),
        "knn": (None, 551.0),
    },
    "coco2014": {
        "cnn-rnn": (381.0, 37.6),
        "no-rnn": (825.0, 61.7),
        "sigmoid": (2600.0, 12500.0),
        "sigmoid-mlp": (898.0, 2790.0),
        "any-subset": (1670.0, 3470.0),
        "softmax": (3170.0, 14800.0),
        "warp": (627.0, 6810.0),
        "asymmetric": (2790.0, 20800.0),
        "chow-liu": (1210.0, 1350.0),
        "knn": (None, 857.0),
    },
    "nuswide81": {
        "cnn-rnn": (412.0, 67.9),
        "no-rnn": (643.0, 89.6),
        "sigmoid": (1170.0, 4210.0),
        "sigmoid-mlp": (544.0, 1640.0),
        "any-subset": (885.0, 3290.0),
        "softmax": (825.0, 3730.0),
        "warp": (482.0, 5570.0),
        "asymmetric": (748.0, 5140.0),
        "chow-liu": (703.0, 774.0),
        "knn": (None, 415.0),
    },
    "nuswide1000": {
        "cnn-rnn": (64.0, 3.58),
        "no-rnn": (496.0, 6.04),
        "sigmoid": (1220.0, 2850.0),
        "sigmoid-mlp": (437.0, 2040.0),
        "any-subset": (875.0, 1730.0),
        "softmax": (875.0, 1590.0),
        "warp": (715.0, 2170.0),
        "asymmetric": (448.0, 2770.0),
        "chow-liu": (92.7, 148.0),
        "knn": (None, 438.0),
    },
}
"""By benchmark and row: training and answering rates. 4,096 features an image, real label sets (of the 1,000
tags: drawn ones), untrained heads, batches of 256: `python benchmarks/reproduction_rates.py`, on 2 cores that
other work shared (load average 2 to 6), so they are on the slow side; searches of an untrained head take longest. The
scenes have those of voc2007, whose features are sixteen times as many."""

LIKE_CNN_RNN: Mapping[str, tuple[float, float]] = {
    "order-rare": (0.88, 1.04),
    "order-random": (0.99, 1.05),
    "order-easiest": (0.99, 1.05),
    "no-repeat": (1.0, 0.21),
    "order-shuffle": (1.0, 0.24),
    "loss-mla": (0.28, 0.25),
    "loss-pla": (0.21, 0.24),
    "loss-remaining-set": (0.29, 0.20),
}
"""By row: training and answering rates as multiples of those of `cnn-rnn`, taken for every benchmark. Measured on the
label sets of coco2014, one thread, all rows in one run of the same script (`--only coco2014 --batches 4 --threads 1`)
on shared cores; `order-easiest` as `order-random`, without the time to find the order."""

ON_TWO_CORES: Mapping[str, Mapping[str, tuple[float | None, float]]] = {
    name: {
        **rates,
        **{
            row: (train * (rates["cnn-rnn"][0] or 0.0), answer * rates["cnn-rnn"][1])
            for row, (train, answer) in LIKE_CNN_RNN.items()
        },
    }
    for name, rates in {**MEASURED, "scenes": MEASURED["voc2007"]}.items()
}
"""By benchmark and row."""


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
        "benchmarks/reproduction_rates.py, those of other orders and losses by their ratio to cnn-rnn."
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
