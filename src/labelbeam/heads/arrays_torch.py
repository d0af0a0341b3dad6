"""From a trained torch module to the arrays that answer: the one bridge between the two forms of a head.

Models train; heads answer. Nothing is shared: a module may be trained on afterwards.
"""

import numpy as np

from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores_torch import LabelScores
from labelbeam.heads.members_torch import Members
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours
from labelbeam.heads.registry import HEADS, Head

Trainable = CNNRNN | LabelScores | NearestNeighbours | Members
"""What can be trained, and handed over."""


def arrays_of(module: CNNRNN | LabelScores | NearestNeighbours) -> dict[str, np.ndarray]:
    """Return copies of a module's arrays by name, as `model.safetensors` has them.

    A label model's rows are in label order already, so an order of columns is not among them.
    """
    state = {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}
    state.pop("order", None)
    return state


def trained(module: Trainable) -> Head:
    """Return what answers as a module has been trained; a copy.

    Args:
        module: on any device, in any mode; members become one head.
    """
    if isinstance(module, Members):
        module = module.merged()
    row = HEADS[module.head_name]
    local = getattr(module, "local", None)
    more = {} if local is None else {"local": local.options}
    return row.trained(
        arrays_of(module), module.options, scaling=module.scaling.name, num_labels=module.num_labels, **more
    )
