"""The application: routes, and what stands in front of them."""

import errno
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from labelbeam import __version__
from labelbeam.errors import InputError
from labelbeam.project.schema import Unavailable
from labelbeam.runs.tagger import Tagger
from labelbeam.service.access import HEADERS, Access, SecureHeaders, Session, session_routes
from labelbeam.service.admission import BUSY_SECONDS, Admission
from labelbeam.service.batches import Closed, Full
from labelbeam.service.descriptions import REFUSALS
from labelbeam.service.limits import Limits, Refusal, refused
from labelbeam.service.monitoring import Counts, Log, Monitoring, metrics_route
from labelbeam.service.routes import health_routes, label_routes, suggest_routes, tag_routes
from labelbeam.service.tagging import TaggingService

if TYPE_CHECKING:
    from labelbeam.project.project_file import Project

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full disk."""

DESCRIPTION = "Photographs in, label sets with scores out; suggestions that follow what was accepted so far."


def create_app(
    tagger: Tagger,
    *,
    limits: Limits | None = None,
    api_key: str | None = None,
    hosts: Collection[str] | None = None,
    project: "Project | None" = None,
    saved: bool = True,
    run: str = "run",
    fingerprint: str = "",
    log: Log | None = None,
) -> FastAPI:
    """Return the service of a run as an ASGI application.

    Args:
        tagger: the run.
        limits: what is taken from clients; None: the defaults.
        api_key: what clients must know; None: nothing.
        hosts: names under which it may be asked, against other web sites that reach it through a name of their
            own; None: any.
        project: what the page at `/` keeps photographs and decisions in; None: no page.
        saved: whether the project stays when the service ends; the page says so.
        run: its name, for logs, metrics and `/readyz`.
        fingerprint: of what its answers depend on (`runs.run_directory.fingerprint`); empty: not said.
        log: what is called with a line for each request; None: nothing is.

    Raises:
        InputError: the key is too short, or a limit is not positive.
    """
    limits = limits or Limits()
    session = Session(api_key) if api_key is not None else None
    service = TaggingService(tagger, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.close)

    # The interactive pages that the framework offers load scripts from elsewhere; the description itself stays.
    app = FastAPI(
        title="labelbeam",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=REFUSALS,
    )
    for router in (tag_routes, suggest_routes, label_routes):
        app.include_router(router(service))
    counts = Counts(run, fingerprint)
    app.include_router(health_routes(service, run=run, fingerprint=fingerprint))
    app.include_router(metrics_route(counts, lambda: service.waiting))
    if session is not None:
        app.include_router(session_routes(session))
    if project is not None:
        from labelbeam.service import project_routes

        project_routes.add(app, service, project, saved=saved)
    _describe_errors(app)
    # The last one added comes first.
    app.add_middleware(Admission, limits=limits)
    app.add_middleware(Access, session=session, hosts=hosts, rate=limits.rate, wrong_keys=limits.wrong_keys)
    app.add_middleware(SecureHeaders)
    app.add_middleware(Monitoring, counts=counts, log=log)
    return app


def _describe_errors(app: FastAPI) -> None:
    """Give every error the same form: `{"error": …}`."""

    @app.exception_handler(Refusal)
    async def refusal(request: Request, error: Refusal) -> JSONResponse:
        return error.response()

    @app.exception_handler(Unavailable)
    async def unavailable(request: Request, error: Unavailable) -> JSONResponse:
        return refused(507 if error.full else 503, str(error), retry_after=BUSY_SECONDS)

    @app.exception_handler(OSError)
    async def disk(request: Request, error: OSError) -> JSONResponse:
        if error.errno not in NO_ROOM:
            raise error
        return refused(
            507, "there is no room on the disk. Make room, and try again.", retry_after=BUSY_SECONDS
        )

    @app.exception_handler(InputError)
    async def wrong_input(request: Request, error: InputError) -> JSONResponse:
        return refused(422, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"][1:])[:100]
        return refused(422, f"{where + ': ' if where else ''}{problem['msg']}")

    @app.exception_handler(Full)
    async def full(request: Request, error: Full) -> JSONResponse:
        return refused(503, "too many images wait already. Try again.", retry_after=error.seconds)

    @app.exception_handler(Closed)
    async def closed(request: Request, error: Closed) -> JSONResponse:
        return refused(503, "the service is ending. Try again.", retry_after=BUSY_SECONDS)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        response = refused(error.status_code, str(error.detail))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        # The web server logs the traceback; the client is told nothing of the inside. The framework puts this
        # answer outside of everything that is added below.
        response = refused(500, "a defect of the service; its log says more.")
        response.headers.update(HEADERS)
        return response
