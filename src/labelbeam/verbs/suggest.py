"""`labelbeam suggest`: which labels to add to an image, given those accepted and rejected so far."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelbeam.errors import InputError
from labelbeam.verbs.label_names import names_in

if TYPE_CHECKING:
    import numpy as np

    from labelbeam.joints.suggestions import Suggestions


def suggest(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    image: Annotated[Path | None, typer.Argument(help="The image; leave out with --vector.")] = None,
    known: Annotated[
        list[str] | None, typer.Option(help="Labels that the image has: a,b. May be repeated.")
    ] = None,
    rejected: Annotated[
        list[str] | None, typer.Option(help="Labels that it has not: c,d. May be repeated.")
    ] = None,
    count: Annotated[int, typer.Option(help="How many suggestions, at most.", min=1)] = 10,
    vector: Annotated[
        Path | None, typer.Option(help="The image's stored features (.npy) instead of the image.")
    ] = None,
    mechanism: Annotated[
        str | None,
        typer.Option(help="likelihood-weighting or any-subset (default: the better one on held-out images)."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Suggest labels for one image, conditioned on what is known of it."""
    from labelbeam.joints.tagger import Tagger

    asked: Path | np.ndarray
    if image is None and vector is not None:
        asked = read_vector(vector)
    elif image is not None and vector is None:
        asked = image
    else:
        given = "neither was given" if image is None else "both were given"
        raise InputError(f"give an image, or its stored features with --vector; {given}.")
    tagger = Tagger.load(run)
    said, refused = names_in(known, tagger.labels), names_in(rejected, tagger.labels)
    found = tagger.suggest(asked, known=said, rejected=refused, count=count, mechanism=mechanism)
    if json_:
        typer.echo(found.to_json(str(image or vector)))
        return
    print(_text(found))
    if found.note:
        print(f"labelbeam: {found.note}", file=sys.stderr)


def read_vector(path: Path) -> "np.ndarray":
    """Read one image's stored features: float16 or float32, [features] or [1 features]; nothing is unpickled.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    import numpy as np

    try:
        values = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"--vector {path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, EOFError) as error:
        raise InputError(
            f"--vector {path} is no .npy file of numbers ({error}). Write it with numpy.save(file, features)."
        ) from error
    if not isinstance(values, np.ndarray):
        values.close()
        raise InputError(f"--vector {path} is an archive of arrays; give one array, saved with numpy.save.")
    return values[0] if values.ndim == 2 and len(values) == 1 else values


def _text(found: "Suggestions") -> str:
    lines = [f"mechanism: {found.mechanism}"]
    for one in found:
        between = f"   between {one.low:.3f} and {one.high:.3f}" if one.high > one.low else ""
        error = f" ± {one.stderr:.3f}" if one.stderr else ""
        lines.append(f"{one.score:.3f}{error}\t{one.label}{between}")
    return "\n".join(lines)
