"""labelbeam: multi-label image tagging that knows which labels go together.

    from labelbeam import Tagger
    tagger = Tagger.load("runs/voc")
    for prediction in tagger.tag(["a.jpg", "b.jpg"]):
        print(prediction.labels)

Importing this package is cheap and has no effect; torch is imported when a `Tagger` is first touched.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labelbeam.runs.tagger import Tagger

__version__ = "0.1.0"
__all__ = ["Tagger", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Tagger":
        from labelbeam.runs.tagger import Tagger

        return Tagger
    raise AttributeError(f"module 'labelbeam' has no attribute {name!r}")
