"""Small copies of pictures, embedded into pages so that a page of hundreds stays a few megabytes."""

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image

from labelbeam.data.images import read_rgb


def embedded_thumbnail(path: Path, *, side: int = 320) -> str:
    """Return an image file as the address that embeds a small JPEG of it, the right way up.

    Args:
        path: any file that `data.images.read_rgb` reads.
        side: longest side of the copy, pixels; a smaller picture keeps its size.

    Raises:
        UnreadableImage: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4000, 3000)).save(Path(folder, "grey.png"))
        ...     embedded_thumbnail(Path(folder, "grey.png"))[:23]
        'data:image/jpeg;base64,'
    """
    small = Image.fromarray(read_rgb(path, at_least=(side, side)))
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = BytesIO()
    small.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
