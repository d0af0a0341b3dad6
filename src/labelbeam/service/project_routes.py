"""The page and its own routes: photographs, suggestions, pictures, and `service.project_steps`. Mounted by `app`.

What asks the model goes through `TaggingService`; what reads the disk runs in threads beside the event loop. No name
from a request ever becomes a path.
"""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import Response

from labelbeam.data.images import UnreadableImage
from labelbeam.project.project_file import Project
from labelbeam.service.explainer import Explainer
from labelbeam.service.page_files import page_routes
from labelbeam.service.project_photographs import ProjectPhotographs
from labelbeam.service.project_pictures import SmallCopies, has_tree, tree_picture
from labelbeam.service.project_steps import Number, project_steps, told, told_photograph
from labelbeam.service.reasons import ReasonedSuggestions, Reasons
from labelbeam.service.refusals import Refusal
from labelbeam.service.tagging import TaggingService
from labelbeam.service.uploads import Upload, read_form

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
        service: answers for the run.
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
                added.append(told_photograph(one, await asyncio.to_thread(project.decisions, one.id)))
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
