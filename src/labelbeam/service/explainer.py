"""What speaks for a label in a photograph, for the page: made on a copy of the model, by one thread at a time.

Maps are made by watching the encoder at work; the encoder that serves everybody must not be watched. The copy is
made when the first map is asked for. Knows no request.
"""

import threading
from copy import copy, deepcopy
from pathlib import Path

from labelbeam.joints.tagger import Tagger
from labelbeam.service.project_pictures import attention_picture, has_attention


class Explainer:
    """Makes pictures of attention for a run.

    Attributes:
        available: whether this run has them.
    """

    def __init__(self, tagger: Tagger) -> None:
        self.available = has_attention(tagger)
        self._tagger = tagger
        self._own: Tagger | None = None
        self._lock = threading.Lock()

    def picture(self, path: Path, label: str) -> bytes:
        """Return the picture, as `project_pictures.attention_picture`; takes as long as some passes of the encoder.

        Raises:
            InputError: an unknown label, or a photograph that cannot be read.
        """
        with self._lock:
            if self._own is None:
                self._own = copy(self._tagger)
                self._own.run = deepcopy(self._tagger.run)
            return attention_picture(self._own, path, label)
