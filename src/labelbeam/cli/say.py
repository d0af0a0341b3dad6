"""What commands print: the one way to a terminal, which only shows it; names may hold codes that it would obey."""

import json
import sys

from labelbeam.errors import printable, printable_json


def say(text: object, *, err: bool = False) -> None:
    """Print a text to standard output, or to standard error."""
    print(printable(str(text)), file=sys.stderr if err else sys.stdout, flush=True)


def say_json(value: object) -> None:
    """Print one JSON object to standard output; names that are not Unicode are escapes in it, as JSON has them too."""
    print(printable_json(json.dumps(value, ensure_ascii=False)), flush=True)
