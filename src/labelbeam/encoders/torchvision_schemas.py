"""Lets timm be imported beside a torchvision whose compiled part does not fit the installed torch.

PyPI's Linux torchvision is linked against CUDA's torch; beside a CPU-only torch its operators cannot be
loaded and `import torchvision` ends in "operator torchvision::nms does not exist", and with it every
library that imports torchvision whenever it is installed. labelbeam needs none of those operators, so the
two schemas that torchvision looks up at import are declared, without an implementation, and only where the
compiled part really cannot be loaded. Knows nothing of encoders; called before the first import of timm.
"""

import importlib.util
from pathlib import Path

import torch

_declared: list[torch.library.Library] = []
"""Keeps the declaration alive: a Library that is collected takes its schemas with it."""


def _compiled_part() -> Path | None:
    """Return torchvision's compiled operators, or None where torchvision or they are not installed."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    found = sorted(path for pattern in ("_C*.so", "_C*.pyd") for path in folder.glob(pattern))
    return found[0] if found else None


def declare_missing_schemas() -> bool:
    """Declare torchvision's `nms` and `qnms` where its compiled part cannot be loaded; else do nothing.

    Returns:
        True if this or an earlier call declared them; False where torchvision is whole or absent.

    Example:
        >>> declare_missing_schemas() == declare_missing_schemas()
        True
    """
    if _declared:
        return True
    compiled = _compiled_part()
    if compiled is None or hasattr(torch.ops.torchvision, "nms"):
        return False
    try:
        torch.ops.load_library(str(compiled))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        return True
    return False
