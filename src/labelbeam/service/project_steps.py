"""What a person does on the page, as routes: decide, complete, remove, rename, undo, redo; and what the project holds.

A step is answered when it is on the disk. Each may be asked again when its answer was lost: it is done once. Asks the
project file alone, no model. Mounted by `service.project_routes`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from labelbeam.errors import InputError
from labelbeam.joints.tagger import Tagger
from labelbeam.project.project_file import Project
from labelbeam.project.records import Change, Photograph, Step
from labelbeam.service.explainer import Explainer
from labelbeam.service.project_export import export_formats, exported
from labelbeam.service.project_pictures import has_tree
from labelbeam.service.reasons import suggesting_mechanisms
from labelbeam.service.refusals import Refusal

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
    """A step to take back, or to do again: the one that the page was told of."""

    step: Number


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
    explained = Explainer(tagger).available

    @router.get("", summary="Everything the page shows at its start")
    def state() -> dict[str, Any]:
        decisions = project.decisions()
        return {
            "id": project.id,
            "name": project.path.name if saved else "",
            "saved": saved,
            "labels": [{"name": name, "known": name in known} for name in project.labels()],
            "photographs": [told_photograph(one, decisions) for one in project.photographs()],
            **_turns(project),
            "attention": explained,
            "tree": has_tree(tagger),
            "mechanisms": suggesting_mechanisms(tagger),
            "formats": export_formats(),
        }

    @router.get("/export/{format_}", response_class=Response, summary="The project as a zip archive")
    def export(format_: str) -> Response:
        opened = ExitStack()
        with told():
            archive = opened.enter_context(exported(project, format_))
        name, done = f"labels-{format_}.zip", BackgroundTask(opened.close)
        return FileResponse(archive, media_type="application/zip", filename=name, background=done)


def _add_steps(router: APIRouter, project: Project) -> None:
    @router.post("/decisions", summary="Accept, reject or clear labels, as one step")
    def decide(asked: ChangesAsked) -> dict[str, Any]:
        with told():
            changes = [Change(one.image, one.label, one.value) for one in asked.changes]
            return _told_step(project, project.decide(changes))

    @router.post("/complete", summary="Say that nothing else is on photographs, or take that back")
    def complete(asked: CompletionAsked) -> dict[str, Any]:
        with told():
            return _told_step(project, project.complete(asked.photographs, value=asked.complete))

    @router.post("/remove", summary="Take photographs out of the project; no file is deleted")
    def remove(asked: PhotographsAsked) -> dict[str, Any]:
        with told():
            return _told_step(project, project.remove(asked.photographs))

    @router.post("/undo", summary="Take the last step back")
    def undo(asked: StepAsked) -> dict[str, Any]:
        with told(409):
            return _told_step(project, project.undo(asked.step))

    @router.post("/redo", summary="Do the step taken back last again")
    def redo(asked: StepAsked) -> dict[str, Any]:
        with told(409):
            return _told_step(project, project.redo(asked.step))


def _add_labels(router: APIRouter, tagger: Tagger, project: Project) -> None:
    known = frozenset(tagger.labels)

    @router.post("/labels", summary="Add a label")
    def add_label(asked: LabelAsked) -> dict[str, Any]:
        with told():
            name = project.add_labels([asked.name])[0]
        return {"name": name, "known": name in known}

    @router.post("/rename", summary="Rename a label, or make it one with another")
    def rename(asked: RenamingAsked) -> dict[str, Any]:
        if asked.label in known:
            raise Refusal(
                422,
                f"{asked.label!r} is a label of the model, which goes by that name. Rename your own ones.",
            )
        with told():
            return _told_step(project, project.rename(asked.label, asked.to))


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


def told_photograph(one: Photograph, decisions: dict[int, dict[str, int]]) -> dict[str, Any]:
    """Return a photograph as the page is told of it."""
    decided = decisions.get(one.id, {})
    return {
        "id": one.id,
        "name": one.name,
        "hash": one.hash[:12],
        "decided": decided,
        "complete": one.complete,
    }


def _told_step(project: Project, step: Step) -> dict[str, Any]:
    changes = [{"image": one.image, "label": one.label, "value": one.value} for one in step.changes]
    return {"changes": changes, "others": step.others, **_turns(project)}


def _turns(project: Project) -> dict[str, int | None]:
    undo, redo = project.turns()
    return {"undo": undo, "redo": redo}
