"""The page and its own routes: photographs, decisions, undo, pictures, exports. Mounted by `service.app`.

A decision is answered when it is on the disk. What asks the model goes through `TaggingService`; what reads the disk
runs in threads beside the event loop. No name from a request ever becomes a path.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from labelbeam.data.images import UnreadableImage
from labelbeam.errors import InputError
from labelbeam.project.project_file import Project
from labelbeam.project.records import Change, Photograph
from labelbeam.service.explainer import Explainer
from labelbeam.service.project_export import export_formats, exported
from labelbeam.service.project_photographs import ProjectPhotographs
from labelbeam.service.project_pictures import SmallCopies, has_tree, tree_picture
from labelbeam.service.reasons import ReasonedSuggestions, Reasons, suggesting_mechanisms
from labelbeam.service.refusals import Refusal
from labelbeam.service.tagging import TaggingService
from labelbeam.service.uploads import Upload, read_form

PAGE = Path(__file__).with_name("page")

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

Number = Annotated[int, Field(ge=1, lt=2**63)]
"""Of a photograph: what the project file can count to."""

MOST_CHANGES = 100_000
"""Of one step: a label accepted on as many photographs."""

UPLOADS = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["photograph"],
            "properties": {
                "photograph": {"type": "array", "items": {"type": "string", "format": "binary"}},
                "name": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "What to call each, with folders; to be shown, never opened.",
                },
            },
        }
    }
}

LARGEST = 2048
"""Longest side of a picture that the page may ask for."""


class ChangeAsked(BaseModel):
    """A decision of a request."""

    image: Number
    label: str = Field(max_length=200)
    value: Literal[0, 1] | None


class ChangesAsked(BaseModel):
    """Decisions of a request: one step."""

    changes: list[ChangeAsked] = Field(max_length=MOST_CHANGES)


class LabelAsked(BaseModel):
    """A new label."""

    name: str = Field(max_length=1000)


def add(app: FastAPI, service: TaggingService, project: Project, *, saved: bool = True) -> None:
    """Mount the page and its routes.

    Args:
        app: the application; it turns a `Refusal` into its response.
        service: answers for the run.
        project: what the page shows and changes.
        saved: whether the project stays when the service ends.
    """
    app.include_router(_static_routes())
    photographs = ProjectPhotographs(project, service)
    router = APIRouter(prefix="/v1/project", tags=["project"])
    _add_state(router, service, project, saved=saved)
    _add_photographs(router, service, photographs)
    _add_pictures(router, service, photographs)
    app.include_router(router)


def _static_routes() -> APIRouter:
    """Return the routes of the page's files: those that are there now, by their names."""
    router = APIRouter(include_in_schema=False)
    files = {file.name: file for file in PAGE.iterdir() if file.suffix in KINDS}

    @router.get("/")
    async def index() -> Response:
        return _file(files["index.html"])

    @router.get("/page/{name}")
    async def part(name: str) -> Response:
        if name not in files:
            raise Refusal(404, "the page has no such part. Load it again.")
        return _file(files[name])

    return router


def _file(path: Path) -> Response:
    return Response(path.read_bytes(), media_type=KINDS[path.suffix], headers={"Cache-Control": "no-cache"})


def _add_state(router: APIRouter, service: TaggingService, project: Project, *, saved: bool) -> None:
    """Add what is asked of the project file alone."""
    known = frozenset(service.tagger.labels)
    explained = Explainer(service.tagger).available

    @router.get("", summary="Everything the page shows at its start")
    def state() -> dict[str, Any]:
        decisions, waiting = project.decisions(), project.waiting()
        return {
            "id": project.id,
            "name": project.path.name if saved else "",
            "saved": saved,
            "labels": [{"name": name, "known": name in known} for name in project.labels()],
            "photographs": [_told(one, decisions) for one in project.photographs()],
            "undo": waiting[0],
            "redo": waiting[1],
            "attention": explained,
            "tree": has_tree(service.tagger),
            "mechanisms": suggesting_mechanisms(service.tagger),
            "formats": export_formats(),
        }

    @router.post("/decisions", summary="Accept, reject or clear labels, as one step")
    def decide(asked: ChangesAsked) -> dict[str, Any]:
        with told():
            changes = [Change(one.image, one.label, one.value) for one in asked.changes]
            return _step(project, project.decide(changes))

    @router.post("/undo", summary="Take the last step back")
    def undo() -> dict[str, Any]:
        return _step(project, project.undo())

    @router.post("/redo", summary="Do the step taken back last again")
    def redo() -> dict[str, Any]:
        return _step(project, project.redo())

    @router.post("/labels", summary="Add a label")
    def add_label(asked: LabelAsked) -> dict[str, Any]:
        with told():
            name = project.add_labels([asked.name])[0]
        return {"name": name, "known": name in known}

    @router.get("/export/{format_}", response_class=Response, summary="The project as a zip archive")
    def export(format_: str) -> Response:
        opened = ExitStack()
        with told():
            archive = opened.enter_context(exported(project, format_))
        name, done = f"labels-{format_}.zip", BackgroundTask(opened.close)
        return FileResponse(archive, media_type="application/zip", filename=name, background=done)


def _add_photographs(router: APIRouter, service: TaggingService, photographs: ProjectPhotographs) -> None:
    """Add what asks the model."""
    project, reasons = photographs.project, Reasons(service.tagger)

    @router.post(
        "/photographs", summary="Add photographs", openapi_extra={"requestBody": {"content": UPLOADS}}
    )
    async def add_photographs(request: Request) -> dict[str, Any]:
        form = await read_form(
            request.headers.get("content-type", ""), request.stream(), most_files=service.limits.files
        )
        files, names = form.files.get("photograph", []), form.fields.get("name", [])
        if not files:
            raise Refusal(422, "no photograph is in the form; its field is called photograph.")
        if len(names) == len(files):  # with folders, which a file name in a form cannot have
            files = [Upload(name, file.content) for name, file in zip(names, files, strict=True)]
        added: list[dict[str, Any]] = []
        for upload, one in zip(files, await photographs.add(files), strict=True):
            if isinstance(one, UnreadableImage):
                added.append({"name": upload.name, "error": one.reason})
            else:
                added.append(_told(one, await asyncio.to_thread(project.decisions, one.id)))
        return {"photographs": added}

    @router.get(
        "/order", summary="Photographs at random, those first of which the model knows least, or as added"
    )
    async def order(by: Literal["random", "uncertain", "added"] = "random") -> dict[str, Any]:
        if by == "added":
            return {"photographs": [one.id for one in project.photographs()]}
        if by == "random":
            return {"photographs": photographs.at_random()}
        return {"photographs": await photographs.least_certain_first()}

    @router.get("/photographs/{image}/suggestions", summary="Suggestions that follow what was decided")
    async def suggestions(
        image: Number,
        count: Annotated[int, Query(ge=1, le=1000)] = 12,
        mechanism: Annotated[str | None, Query(max_length=40)] = None,
    ) -> dict[str, Any]:
        with told(404):
            photograph = project.photograph(image)
        features = (await photographs.features([photograph]))[0]
        if features is None:
            raise Refusal(404, f"{photograph.name} is gone from the disk, or no longer a photograph.")
        decided = project.decisions(image).get(image, {})
        with told():
            found = await service.ask(
                lambda: reasons.suggest(features, decided, count=count, mechanism=mechanism), urgent=True
            )
        return _suggested(found)


def _add_pictures(router: APIRouter, service: TaggingService, photographs: ProjectPhotographs) -> None:
    """Add what is drawn."""
    project = photographs.project
    explainer, copies = Explainer(service.tagger), SmallCopies()

    @router.get(
        "/photographs/{image}/picture",
        response_class=Response,
        summary="A photograph as JPEG, no larger than asked",
    )
    def picture(image: Number, side: Annotated[int, Query(ge=16, le=LARGEST)] = 400) -> Response:
        with told(404):
            content = copies.picture(project.photograph(image).path, side=side)
        # The page's address of a picture has its hash in it: it never becomes another.
        return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})

    @router.get(
        "/photographs/{image}/attention", response_class=Response, summary="What speaks for a label, as JPEG"
    )
    def attention(image: Number, label: Annotated[str, Query(max_length=200)]) -> Response:
        if not explainer.available:
            raise Refusal(
                404, "this run has no maps of attention: that takes PyTorch and a head that is explained."
            )
        with told():
            content = explainer.picture(project.photograph(image).path, label)
        return Response(content, media_type="image/jpeg")

    @router.get(
        "/photographs/{image}/tree", response_class=Response, summary="The tree of the search, as SVG"
    )
    async def tree(image: Number) -> Response:
        if not has_tree(service.tagger):
            raise Refusal(404, "the head of this run does not search.")
        with told(404):
            photograph = project.photograph(image)
        features = (await photographs.features([photograph]))[0]
        if features is None:
            raise Refusal(404, f"{photograph.name} is gone from the disk, or no longer a photograph.")
        content = await service.ask(lambda: tree_picture(service.tagger, features))
        return Response(content, media_type="image/svg+xml")


@contextmanager
def told(status: int = 422) -> Iterator[None]:
    """Turn a mistake in what was asked into its response.

    Raises:
        Refusal: with that status.
    """
    try:
        yield
    except InputError as error:
        raise Refusal(status, str(error)) from error


def _step(project: Project, changes: Sequence[Change]) -> dict[str, Any]:
    undo, redo = project.waiting()
    told_changes = [{"image": one.image, "label": one.label, "value": one.value} for one in changes]
    return {"changes": told_changes, "undo": undo, "redo": redo}


def _told(one: Photograph, decisions: dict[int, dict[str, int]]) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "hash": one.hash[:12], "decided": decisions.get(one.id, {})}


def _suggested(found: ReasonedSuggestions) -> dict[str, Any]:
    suggestions = []
    for one in found.suggestions:
        told_one: dict[str, Any] = {"label": one.label, "score": round(one.score, 4)}
        if one.reason is not None:
            told_one["because"] = {
                "label": one.reason.label,
                "value": one.reason.value,
                "change": round(one.reason.change, 4),
            }
        suggestions.append(told_one)
    return {"suggestions": suggestions, "mechanism": found.mechanism, "note": found.note}
