"""The command line: one Typer application whose commands are functions of the modules beside it.

Exit status: 0 done; 2 the user's input or options are wrong (one message on standard error, no traceback);
130 interrupted; 141 nobody reads the output any more; 1 a defect of ours. Knows no model and imports nothing
heavy: commands import what they need when they run.
"""

import errno
import functools
import os
import re
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from labelbeam import __version__
from labelbeam.cli.data import convert, download, inspect, split
from labelbeam.cli.evaluate import evaluate, score
from labelbeam.cli.options import say
from labelbeam.cli.report import explain, report
from labelbeam.cli.reproduce import demo, reproduce
from labelbeam.cli.serve import serve
from labelbeam.cli.suggest import neighbors, suggest
from labelbeam.cli.tag import promote, tag, untag, watch
from labelbeam.cli.train import NamesHeads, export, extend_labels, train
from labelbeam.errors import InputError

MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG})
"""Errors of the operating system that are no defect of ours: no space, no permission."""

EXTRAS = {
    "torch": "torch",
    "accelerate": "torch",
    "timm": "encoders",
    "matplotlib": "plots",
    "pyarrow": "parquet",
}
"""Packages that may not be installed, and the extra that has them."""

app = typer.Typer(
    name="labelbeam",
    help="Multi-label image tagging that knows which labels go together.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def with_messages(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with its errors turned into one message and an exit status."""

    @functools.wraps(command)
    def run(*args: object, **options: object) -> None:
        try:
            command(*args, **options)
            sys.stdout.flush()
        except InputError as error:
            _say(str(error))
            raise typer.Exit(2) from None
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            _say(f"this needs {package}, which is not installed: pip install 'labelbeam[{EXTRAS[package]}]'.")
            raise typer.Exit(2) from None
        except BrokenPipeError:
            # The interpreter flushes once more at its end; let that go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None
        except KeyboardInterrupt:
            _say("interrupted.")
            raise typer.Exit(130) from None
        except OSError as error:
            if error.errno not in MACHINE:
                raise
            # What is being written has a hidden name until it is whole; people know the other one.
            where = re.sub(r"\.([^/]+)\.[0-9a-f]{8}\.part$", r"\1", str(error.filename or "a file"))
            _say(
                f"{where} cannot be used: {error.strerror}. Make room, change its permissions, or give another place."
            )
            raise typer.Exit(2) from None

    return run


def _say(message: str) -> None:
    say(f"labelbeam: {message}", err=True)


data = typer.Typer(
    name="data", help="Data sets: look into them, split, convert, download.", no_args_is_help=True
)
app.add_typer(data)

for _command in (
    *(demo, train, evaluate, tag, untag, watch, promote, suggest, serve, explain, report, neighbors, score),
    *(reproduce, extend_labels, export),
):
    app.command(cls=NamesHeads if _command is train else None)(with_messages(_command))
for _command in (inspect, split, convert, download):
    data.command()(with_messages(_command))


def _version(wanted: bool) -> bool:
    """Print the version and end, where that was asked; Typer takes what this returns as the option's value."""
    if wanted:
        say(f"labelbeam {__version__}")
        raise typer.Exit()
    return wanted


@app.callback()
def labelbeam(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Multi-label image tagging that knows which labels go together."""


def main() -> None:
    """Run the command line."""
    # `read_rgb` has its own limit of pixels and its own words; Pillow's warnings would only add noise.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    warnings.filterwarnings("ignore", message=".*decompression bomb.*")
    app()
