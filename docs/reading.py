"""How mkdocstrings reads our docstrings: their "Example" is the Google form's "Examples", whose lines are code."""

import re
from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Names the sections as Griffe expects them."""

    def on_object(self, *, obj: Object, **more: Any) -> None:
        """Rename the section of one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^( *)Example:$", r"\1Examples:", obj.docstring.value)
