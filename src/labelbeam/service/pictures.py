"""Pictures that the page shows: small copies of photographs, what speaks for a label, the tree of a search."""

import re
import threading
from copy import copy, deepcopy
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from labelbeam.charts.charts import picture
from labelbeam.data.images import read_rgb, read_rgb_bytes
from labelbeam.explain.pictures import overlaid
from labelbeam.explain.search_tree import tree_chart
from labelbeam.heads.registry import HEADS
from labelbeam.predict.label_model import label_model_answerer
from labelbeam.runs.tagger import Tagger

# Most maps are made by watching the encoder at work; the encoder that serves everybody must not be watched. The copy is
# made when the first map is asked for; a model's own map (local evidence) needs none.


class Explainer:
    """Makes pictures of attention for a run.

    Attributes:
        available: whether this run has them.
        own_map: whether they are what the model itself added up (`--local`), not an account of it afterwards.
    """

    def __init__(self, tagger: Tagger) -> None:
        self.own_map = getattr(tagger.run.head, "local", None) is not None
        self.available = has_attention(tagger)
        self._tagger = tagger
        self._own: Tagger | None = None
        self._lock = threading.Lock()

    def picture(self, path: Path, label: str) -> bytes:
        """Return the picture, as `attention_picture`; takes as long as some passes of the encoder.

        Raises:
            InputError: an unknown label, or a photograph that cannot be read.
        """
        with self._lock:
            if self.own_map:
                return attention_picture(self._tagger, path, label)
            if self._own is None:
                self._own = copy(self._tagger)
                self._own.run = deepcopy(self._tagger.run)
            return attention_picture(self._own, path, label)


# Always drawn anew here: a file that somebody uploaded is never handed out as it is.

SIDE = 720
"""Longest side of the picture that shows what speaks for a label, pixels."""


class SmallCopies:
    """Makes small copies of photographs, a few at a time: a decoded photograph may take hundreds of megabytes."""

    def __init__(self) -> None:
        self._turns = threading.Semaphore(2)

    def picture(self, content: bytes, name: str, *, side: int) -> bytes:
        """Return a JPEG of a photograph, the right way up.

        Args:
            side: longest side, pixels; a smaller photograph keeps its size.

        Raises:
            UnreadableImage: it is no image.
        """
        with self._turns:
            copy = Image.fromarray(read_rgb_bytes(content, name, at_least=(side, side)))
        copy.thumbnail((side, side), Image.Resampling.LANCZOS)
        return _encoded(copy, "JPEG")


def has_attention(tagger: Tagger) -> bool:
    """Return whether maps can be made: by PyTorch, of a head that is explained, with the encoder itself or a map."""
    if find_spec("torch") is None or not HEADS[tagger.run.config.head].explains:
        return False
    from labelbeam.encoders.image_encoder import ImageEncoder

    return isinstance(tagger.run.encoder, ImageEncoder) or getattr(tagger.run.head, "local", None) is not None


def has_tree(tagger: Tagger) -> bool:
    """Return whether the head is one that searches."""
    return label_model_answerer(tagger.answerer) is not None


def attention_picture(tagger: Tagger, path: Path, label: str) -> bytes:
    """Return a photograph, dimmed, with what speaks for a label in orange and against it in blue; JPEG.

    Raises:
        InputError: an unknown label, or a photograph that cannot be read.
    """
    from labelbeam.explain.explained_run import explain

    found = explain(tagger.run, path, labels=[label])
    whole = Image.fromarray(read_rgb(path))
    scale = min(1.0, SIDE / max(whole.size))
    size = (max(1, round(whole.width * scale)), max(1, round(whole.height * scale)))
    whole = whole.resize(size, Image.Resampling.LANCZOS)
    region = found.region
    box = [round(edge * scale) for edge in (region.left, region.top)]
    box += [round((region.left + region.width) * scale), round((region.top + region.height) * scale)]
    left, top, right, bottom = box
    side = max(right - left, bottom - top, 1)
    square = whole.crop((left, top, right, bottom)).resize((side, side), Image.Resampling.LANCZOS)
    signed = found.steps[0].signed.astype(np.float32)
    smooth = np.asarray(Image.fromarray(signed).resize((side, side), Image.Resampling.BICUBIC))
    laid = Image.fromarray(overlaid(np.asarray(square), smooth.astype(np.float64)))
    dimmed = (
        Image.fromarray(np.asarray(whole.convert("L"))).point(lambda light: 0.62 * light + 4).convert("RGB")
    )
    dimmed.paste(laid.resize((max(1, right - left), max(1, bottom - top))), (left, top))
    return _encoded(dimmed, "JPEG")


def tree_picture(tagger: Tagger, features: Float[np.ndarray, " features"]) -> bytes:
    """Return the tree of a photograph's search as SVG.

    Raises:
        InputError: the head does not search.
    """
    from labelbeam.explain.search_tree import visible_search

    search = visible_search(tagger, features, clicks=0).to_json()
    chart = tree_chart(
        search["tree"],
        exact=search["exact"]["labels"],
        beam=search["beam"]["labels"],
        title="The tree of the search",
    )
    size = re.search(r'width="(\d+)" height="(\d+)"', chart)
    width, height = (int(size[1]), int(size[2])) if size else (800, 600)
    return picture(chart, width=width + 32, height=height + 32).encode()


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = BytesIO()
    image.save(file, kind, quality=84)
    return file.getvalue()
