"""The page and its own routes: photographs, suggestions, pictures, and what a person does to them."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from labelbeam.data.images import UnreadableImage
from labelbeam.errors import InputError
from labelbeam.project.project_file import Project
from labelbeam.project.schema import Change, Photograph, Step, Unavailable
from labelbeam.runs.tagger import Tagger
from labelbeam.service.admission import Refusal
from labelbeam.service.project_export import export_formats, exported, write_beside
from labelbeam.service.project_photographs import (
    Explainer,
    ProjectPhotographs,
    SmallCopies,
    has_tree,
    tree_picture,
)
from labelbeam.service.project_scores import (
    MOST,
    ProjectScores,
    ReasonedSuggestions,
    Reasons,
    suggesting_mechanisms,
)
from labelbeam.service.routes import Asked, parsed
from labelbeam.service.tagging import TaggingService
from labelbeam.service.uploads import Upload, read_form

# `GET /` and `/page/NAME`: the page's own files, those that are there when the service starts and no others.

PAGE = Path(__file__).with_name("page")

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_routes() -> APIRouter:
    """Return the routes."""
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


# A step is answered when it is on the disk. Each may be asked again when its answer was lost: it is done once.

Number = Annotated[int, Field(ge=1, lt=2**63)]
"""Of a photograph or a step: what the project file can count to."""

MOST_CHANGES = 100_000
"""Of one step: a label accepted on as many photographs."""


class ChangeAsked(BaseModel):
    """A decision of a request."""

    image: Number
    label: str = Field(max_length=200)
    value: Literal[0, 1] | None


class ChangesAsked(BaseModel):
    """Decisions of a request: one step."""

    changes: list[ChangeAsked] = Field(max_length=MOST_CHANGES)


class PhotographsAsked(BaseModel):
    """Photographs of a request."""

    photographs: list[Number] = Field(max_length=MOST_CHANGES)


class ScoresAsked(BaseModel):
    """Photographs whose scores are wanted, some at a time."""

    photographs: list[Number] = Field(max_length=MOST)
    label: str | None = Field(default=None, max_length=200)


class CompletionAsked(PhotographsAsked):
    """Photographs, and whether nothing else is on them."""

    complete: bool = True


class LabelAsked(BaseModel):
    """A new label."""

    name: str = Field(max_length=1000)


class RenamingAsked(BaseModel):
    """A label and its new name."""

    label: str = Field(max_length=200)
    to: str = Field(max_length=1000)


class StepAsked(BaseModel):
    """A step to take back, or to do again: the one that the page was given."""

    step: Number


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """Return how a route describes a body that it reads itself."""
    schema = {
        "application/json": {"schema": model.model_json_schema(ref_template="#/components/schemas/{model}")}
    }
    return {"openapi_extra": {"requestBody": {"required": True, "content": schema}}}


def body_of(model: type[Asked]) -> Any:
    """Return what gives a route its body; parsed in a thread, for a large one would hold up everybody else.

    Raises:
        Refusal: 415 for another content type, 422 for a body that cannot be understood.
    """

    async def read(request: Request) -> Asked:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if (body := await request.body()) and kind != "application/json":
            raise Refusal(415, f"the content type is {kind[:80]!r}; send application/json.")
        return await asyncio.to_thread(parsed, model, body)

    return Depends(read)


def project_steps(tagger: Tagger, project: Project, *, saved: bool) -> APIRouter:
    """Return the routes.

    Args:
        tagger: the run; its labels keep their names.
        project: what the page shows and changes.
        saved: whether the project stays when the service ends.
    """
    router = APIRouter(prefix="/v1/project", tags=["project"])
    _add_state(router, tagger, project, saved=saved)
    _add_steps(router, project)
    _add_labels(router, tagger, project)
    return router


def _add_state(router: APIRouter, tagger: Tagger, project: Project, *, saved: bool) -> None:
    known = frozenset(tagger.labels)
    explainer = Explainer(tagger)

    @router.get("", summary="Everything the page shows at its start")
    def state() -> dict[str, Any]:
        decisions = project.decisions()
        return {
            "id": project.id,
            "name": project.path.name if saved else "",
            "saved": saved,
            "labels": [{"name": name, "known": name in known} for name in project.labels()],
            "photographs": [photograph_to_dict(one, decisions) for one in project.photographs()],
            **_turns(project),
            "attention": explainer.available,
            "own_map": explainer.available and explainer.own_map,
            "tree": has_tree(tagger),
            "mechanisms": suggesting_mechanisms(tagger),
            "promised": list(tagger.promised),
            "unseen": tagger.run.config.decision.unseen,
            "formats": export_formats(),
            "beside": sum(not one.added for one in project.photographs()),
        }

    @router.post("/keywords", summary="Keywords into sidecars beside the photographs of --images")
    def keywords() -> dict[str, Any]:
        with as_refusal():
            count, notes = write_beside(project)
        return {"written": count, "notes": notes}

    @router.get("/export/{format_}", response_class=Response, summary="The project as a zip archive")
    def export(format_: str) -> Response:
        opened = ExitStack()
        with as_refusal():
            archive = opened.enter_context(exported(project, format_))
        name, done = f"labels-{format_}.zip", BackgroundTask(opened.close)
        return FileResponse(archive, media_type="application/zip", filename=name, background=done)


def _add_steps(router: APIRouter, project: Project) -> None:
    def step(
        name: str, summary: str, model: type[Asked], do: Callable[[Asked], Step], *, clash: int = 422
    ) -> None:
        def route(asked: Any = body_of(model)) -> dict[str, Any]:  # noqa: B008
            with as_refusal(clash):
                return _step_to_dict(project, do(asked))

        router.post(f"/{name}", name=name, summary=summary, **takes(model))(route)

    def decide(asked: ChangesAsked) -> Step:
        return project.decide([Change(one.image, one.label, one.value) for one in asked.changes])

    def complete(asked: CompletionAsked) -> Step:
        return project.complete(asked.photographs, value=asked.complete)

    step("decisions", "Accept, reject or clear labels, as one step", ChangesAsked, decide)
    step("complete", "Say that nothing else is on photographs, or take that back", CompletionAsked, complete)
    step(
        "remove",
        "Take photographs out of the project; no file is deleted",
        PhotographsAsked,
        lambda asked: project.remove(asked.photographs),
    )
    step("undo", "Take the last step back", StepAsked, lambda asked: project.undo(asked.step), clash=409)
    step(
        "redo",
        "Do the step taken back last again",
        StepAsked,
        lambda asked: project.redo(asked.step),
        clash=409,
    )


def _add_labels(router: APIRouter, tagger: Tagger, project: Project) -> None:
    known = frozenset(tagger.labels)

    @router.post("/labels", summary="Add a label", **takes(LabelAsked))
    def add_label(asked: Annotated[LabelAsked, body_of(LabelAsked)]) -> dict[str, Any]:
        with as_refusal():
            name = project.add_labels([asked.name])[0]
        return {"name": name, "known": name in known, **_turns(project)}

    @router.post("/rename", summary="Rename a label, or make it one with another", **takes(RenamingAsked))
    def rename(asked: Annotated[RenamingAsked, body_of(RenamingAsked)]) -> dict[str, Any]:
        if asked.label in known:
            raise Refusal(
                422,
                f"{asked.label!r} is a label of the model, which goes by that name. Rename your own ones.",
            )
        with as_refusal():
            return _step_to_dict(project, project.rename(asked.label, asked.to))


@contextmanager
def as_refusal(status: int = 422) -> Iterator[None]:
    """Turn a mistake in what was asked into its response.

    Raises:
        Refusal: with that status.
    """
    try:
        yield
    except Unavailable:
        raise
    except InputError as error:
        raise Refusal(status, str(error)) from error


def photograph_to_dict(one: Photograph, decisions: dict[int, dict[str, int]]) -> dict[str, Any]:
    """Return a photograph as the page gets it."""
    found = {"id": one.id, "name": one.name, "hash": one.hash[:12], "complete": one.complete}
    return found | {"decided": decisions.get(one.id, {})}


def _step_to_dict(project: Project, step: Step) -> dict[str, Any]:
    changes = [{"image": one.image, "label": one.label, "value": one.value} for one in step.changes]
    return {"changes": changes, "others": step.others, **_turns(project)}


def _turns(project: Project) -> dict[str, int | None]:
    undo, redo = project.turns()
    return {"undo": undo, "redo": redo}


# What asks the model goes through `TaggingService`; what reads the disk runs in threads beside the event loop.

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


def add(app: FastAPI, service: TaggingService, project: Project, *, saved: bool = True) -> None:
    """Mount the page and its routes.

    Args:
        app: the application; it turns a `Refusal` into its response.
        project: what the page shows and changes.
        saved: whether the project stays when the service ends.
    """
    app.include_router(page_routes())
    photographs = ProjectPhotographs(project, service)
    router = APIRouter(prefix="/v1/project", tags=["project"])
    _add_photographs(router, service, photographs)
    _add_pictures(router, service, photographs)
    app.include_router(router)
    app.include_router(project_steps(service.tagger, project, saved=saved))


def _add_photographs(router: APIRouter, service: TaggingService, photographs: ProjectPhotographs) -> None:
    """Add what asks the model."""
    project, reasons = photographs.project, Reasons(service.tagger)
    many = ProjectScores(photographs, service, reasons)

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
                added.append(photograph_to_dict(one, await asyncio.to_thread(project.decisions, one.id)))
        return {"photographs": added, **await asyncio.to_thread(_turns, project)}

    @router.get(
        "/order", summary="Photographs at random, those first of which the model knows least, or as added"
    )
    async def order(by: Literal["random", "uncertain", "added"] = "random") -> dict[str, Any]:
        if by == "added":
            return {"photographs": [one.id for one in await asyncio.to_thread(project.photographs)]}
        if by == "random":
            return {"photographs": await asyncio.to_thread(photographs.at_random)}
        return {"photographs": await photographs.least_certain_first()}

    @router.get("/photographs/{image}/suggestions", summary="Suggestions that follow what was decided")
    async def suggestions(
        image: Number,
        count: Annotated[int, Query(ge=1, le=1000)] = 12,
        mechanism: Annotated[str | None, Query(max_length=40)] = None,
    ) -> dict[str, Any]:
        features = await features_of(photographs, image)
        decided = (await asyncio.to_thread(project.decisions, image)).get(image, {})
        with as_refusal():
            found = await service.ask(
                lambda: reasons.suggest(features, decided, count=count, mechanism=mechanism), urgent=True
            )
        return _suggested(found)

    @router.post(
        "/scores", summary="Scores of many photographs, or of one label on them", **takes(ScoresAsked)
    )
    async def scores(asked: Annotated[ScoresAsked, body_of(ScoresAsked)]) -> dict[str, Any]:
        if asked.label is not None and asked.label not in service.tagger.labels:
            raise Refusal(
                422, f"the model does not know the label {asked.label[:80]!r}, so it has no scores."
            )
        with as_refusal():
            return await many.ask(asked.photographs, asked.label)

    @router.post("/unseen", summary="Photographs that nobody needs to look at", **takes(ScoresAsked))
    async def unseen(asked: Annotated[ScoresAsked, body_of(ScoresAsked)]) -> dict[str, Any]:
        with as_refusal():
            return await many.needing_nobody(asked.photographs)

    @router.post("/stacks", summary="Which photographs look alike", **takes(PhotographsAsked))
    async def stacks(asked: Annotated[PhotographsAsked, body_of(PhotographsAsked)]) -> dict[str, Any]:
        return {"stacks": await many.stacks(asked.photographs)}


async def features_of(photographs: ProjectPhotographs, image: int) -> np.ndarray:
    """Return the features of a photograph.

    Raises:
        Refusal: 404, there is none, or it is gone from the disk.
    """
    with as_refusal(404):
        photograph = await asyncio.to_thread(photographs.project.photograph, image)
    features = (await photographs.features([photograph]))[0]
    if features is None:
        raise Refusal(404, f"{photograph.name} is gone from the disk, or no longer a photograph.")
    return features


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
        with as_refusal(404):
            photograph = project.photograph(image)
            content = copies.picture(project.content(photograph), photograph.name, side=side)
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
        with as_refusal():
            photograph = project.photograph(image)
            project.content(photograph)  # may it be read?
            content = explainer.picture(photograph.path, label)
        return Response(content, media_type="image/jpeg")

    @router.get(
        "/photographs/{image}/tree", response_class=Response, summary="The tree of the search, as SVG"
    )
    async def tree(image: Number) -> Response:
        if not has_tree(service.tagger):
            raise Refusal(404, "the head of this run does not search.")
        features = await features_of(photographs, image)
        content = await service.ask(lambda: tree_picture(service.tagger, features))
        return Response(content, media_type="image/svg+xml")


def _suggested(found: ReasonedSuggestions) -> dict[str, Any]:
    suggestions = []
    for one in found.suggestions:
        entry: dict[str, Any] = {"label": one.label, "score": round(one.score, 4)}
        if (why := one.reason) is not None:
            entry["because"] = {"label": why.label, "value": why.value, "change": round(why.change, 4)}
        suggestions.append(entry)
    return {"suggestions": suggestions, "mechanism": found.mechanism, "note": found.note}
