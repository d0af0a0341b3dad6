"""The command line: one Typer application whose commands are the functions of `labelbeam.verbs`.

Exit status: 0 done; 2 the user's input or options are wrong (one message on standard error, no traceback);
1 a defect of ours. Knows no model and imports nothing heavy: verbs import what they need when they run.
"""

import sys
import warnings

import typer

from labelbeam.errors import InputError
from labelbeam.verbs.demo import demo
from labelbeam.verbs.evaluate import evaluate
from labelbeam.verbs.neighbors import neighbors
from labelbeam.verbs.score import score
from labelbeam.verbs.tag import tag
from labelbeam.verbs.train import train

app = typer.Typer(
    name="labelbeam",
    help="Multi-label image tagging that knows which labels go together.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for verb in (demo, train, evaluate, tag, score, neighbors):
    app.command()(verb)


@app.callback()
def labelbeam() -> None:
    """Multi-label image tagging that knows which labels go together."""


def main() -> None:
    """Run the command line and turn the user's errors into one message and exit status 2."""
    # `read_rgb` has its own limit of pixels and its own words; Pillow's warnings would only add noise.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    warnings.filterwarnings("ignore", message=".*decompression bomb.*")
    try:
        app()
    except InputError as error:
        print(f"labelbeam: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("labelbeam: interrupted.", file=sys.stderr)
        sys.exit(130)
