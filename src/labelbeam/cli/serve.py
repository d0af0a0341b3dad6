"""`labelbeam serve`: a run as a web service, and the page on which people tag with it."""

import os
from contextlib import ExitStack
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelbeam.cli.options import DECIDE, Differences, say, takes_options
from labelbeam.errors import InputError, unknown_name

if TYPE_CHECKING:
    from labelbeam.service.admission import Limits

NEEDED = ("fastapi", "uvicorn", "python_multipart")

SAID = {"keywords": "keywords", "folders": "folders", "both": "keywords and folders", "nothing": "nothing"}


@takes_options(asked=(DECIDE, "How labels are decided"))
def serve(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.")],
    host: Annotated[str, typer.Option(help="Address to listen at; a public one needs a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for any free one.", min=0, max=65535)] = 8000,
    key_file: Annotated[
        Path | None, typer.Option(help="File that holds the API key which clients must send.")
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the API key instead.")
    ] = None,
    project: Annotated[
        Path | None, typer.Option(help="File that keeps photographs and decisions (default: until it ends).")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of photographs to show on the page; they stay where they are.")
    ] = None,
    take: Annotated[
        str, typer.Option(help="What of --images comes in as decided: keywords, folders, both or nothing.")
    ] = "keywords",
    limit: Annotated[
        list[str] | None,
        typer.Option(help="Change a limit, e.g. rate=5 or body_bytes=8000000. May be repeated."),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Print a line for each request.")] = False,
    *,
    asked: Differences,
) -> None:
    """Serve a run over HTTP: POST /v1/tag, POST /v1/suggest, and a page for people at /.

    Ends at Ctrl-C or SIGTERM, when what is under way is done.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(
            f"serving needs more packages ({', '.join(missing)} missing): pip install 'labelbeam[serve]'."
        )
    from labelbeam.project.project_file import Project, temporary_project
    from labelbeam.runs.run_directory import fingerprint
    from labelbeam.runs.tagger import asked_tagger
    from labelbeam.service.access import require_strong_key
    from labelbeam.service.project_photographs import add_folder
    from labelbeam.service.routes import refuse_batches
    from labelbeam.service.server import (
        LOOPBACK,
        bound_socket,
        create_app,
        is_loopback,
        serve_until_stopped,
        web_server,
    )

    limits = limits_from(limit or ())
    key = key_from(key_file, api_key_env)
    if key is not None:
        require_strong_key(key)
    if not is_loopback(host) and key is None:
        raise InputError(
            f"{host} can be reached by others: a public address needs a key. Give --key-file FILE or "
            "--api-key-env NAME, or leave --host out to serve this machine only."
        )
    with ExitStack() as opened:
        listening = opened.enter_context(bound_socket(host, port))
        tagger = asked_tagger([run], asked)
        refuse_batches(tagger.run.config.decision)
        for line in (tagger.note, *tagger.promised):
            if line:
                _say(line)
        kept = opened.enter_context(temporary_project() if project is None else Project(project))
        if images is not None:
            kept.add_labels(tagger.labels)
            count, decided, problems = add_folder(kept, images, take=take)
            came = f" Of {decided:,}, {SAID[take]} came in as decided." if decided else ""
            _say("\n".join([f"{count:,} photographs in {images}.{came}", *problems]))
        shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
        app = create_app(
            tagger,
            limits=limits,
            api_key=key,
            hosts={*LOOPBACK, shown} if key is None else None,
            project=kept,
            saved=project is not None,
            run=run.resolve().name,
            fingerprint=fingerprint(run),
            log=_say if log else None,
        )
        _say(f"serving {run} at http://{shown}:{listening.getsockname()[1]}/ (Ctrl-C ends it).")
        server = web_server(app, drain_seconds=limits.answer_seconds, log="warning")
        serve_until_stopped(server, listening)


def limits_from(texts: "list[str] | tuple[()]") -> "Limits":
    """Return the limits with the user's changes: `name=number`.

    Raises:
        InputError: an unknown limit, no number, or one that is not positive.
    """
    from labelbeam.service.admission import Limits

    kinds = {one.name: type(getattr(Limits(), one.name)) for one in fields(Limits)}
    changed = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in kinds:
            raise unknown_name("limit", name, kinds)
        try:
            changed[name] = kinds[name](value)
        except ValueError:
            raise InputError(
                f"--limit {text}: {value!r} is no {'whole ' if kinds[name] is int else ''}number. Write {name}=10."
            ) from None
    return Limits(**changed)


def key_from(key_file: Path | None, api_key_env: str | None) -> str | None:
    """Return the API key; never given on the command line itself, where every user of the machine could read it.

    Raises:
        InputError: both are given, the file cannot be read, or the variable is not set.
    """
    if key_file is not None and api_key_env is not None:
        raise InputError("--key-file and --api-key-env both say where the key is. Leave one out.")
    if api_key_env is not None:
        if api_key_env not in os.environ:
            raise InputError(f"--api-key-env {api_key_env}: there is no such environment variable. Set it.")
        return os.environ[api_key_env].strip()
    if key_file is None:
        return None
    try:
        return key_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--key-file {key_file} cannot be read ({error}).") from error


def _say(message: str) -> None:
    say(message, err=True)
