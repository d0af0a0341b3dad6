"""The arrays that travel between modules, by name: one row per image, one column per label in label order."""

import numpy as np
from jaxtyping import Bool, Float, Int8

Targets = Int8[np.ndarray, "images labels"]
"""1 present, 0 absent, -1 unknown."""
ByLabel = Float[np.ndarray, "images labels"]
"""A number of every label of every image: scores, which are p(label | image) in [0, 1] where nothing else is said."""
LabelSets = Bool[np.ndarray, "images labels"]
"""Whether a label is in an image's set."""
Features = Float[np.ndarray, "images features"]
"""What an encoder says of images, any precision."""
PerImage = Float[np.ndarray, " images"]
PerLabel = Float[np.ndarray, " labels"]
