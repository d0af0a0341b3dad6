"""Routes for programs: health, labels and neighbours, tags, suggestions."""

import asyncio
import base64
import binascii
import json
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from labelbeam import __version__
from labelbeam.data.images import UnreadableImage
from labelbeam.errors import InputError
from labelbeam.predict.decision import Decision
from labelbeam.runs.choices import decision_from
from labelbeam.service.admission import BUSY_SECONDS, Refusal
from labelbeam.service.descriptions import (
    LabelsAnswer,
    NeighborsAnswer,
    State,
    SuggestAnswer,
    SuggestQuestion,
    TagAnswer,
)
from labelbeam.service.tagging import Tagged, TaggingService
from labelbeam.service.uploads import Form, Upload, read_form

# `GET /healthz` and `GET /readyz`: for whoever watches over the service.


def health_routes(service: TaggingService, *, run: str, fingerprint: str) -> APIRouter:
    """Return the routes.

    Args:
        service: answers for the run.
        run: its name.
        fingerprint: of what its answers depend on.
    """
    about = {"run": run, "fingerprint": fingerprint, "version": __version__}
    router = APIRouter()

    @router.get("/healthz", summary="Does it live?", responses={200: {"model": State}})
    async def healthz() -> dict[str, str]:
        """Answer while the process can answer at all."""
        return {"state": "alive"}

    @router.get(
        "/readyz",
        summary="Does it take work?",
        responses={200: {"model": State}, 503: {"model": State, "description": "Full, or ending."}},
    )
    async def readyz() -> JSONResponse:
        """Tell whether an image would be taken now."""
        if service.ready:
            return JSONResponse({"state": "ready", **about})
        headers = {"Retry-After": str(round(BUSY_SECONDS))}
        return JSONResponse({"state": "busy", **about}, status_code=503, headers=headers)

    return router


# `GET /v1/labels` and `GET /v1/neighbors`: what the run can say, and which labels it holds for alike.


def label_routes(service: TaggingService) -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    run = service.tagger.run

    @router.get("/v1/labels", summary="The run's labels", responses={200: {"model": LabelsAnswer}})
    async def labels() -> dict[str, Any]:
        """Return every label, in label order, with the number of training images that have it."""
        rows = zip(run.vocabulary.names, run.counts, strict=True)
        return {
            "labels": [{"label": name, "training_images": count} for name, count in rows],
            "head": run.config.head,
            "features": run.encoder.row_size,
        }

    @router.get(
        "/v1/neighbors",
        summary="Labels near a label or an image",
        responses={200: {"model": NeighborsAnswer}},
    )
    async def neighbors(
        label: Annotated[str | None, Query(max_length=1000, description="A label of the run.")] = None,
        vector: Annotated[
            str | None, Query(max_length=64, description="An image, as /v1/tag gave it.")
        ] = None,
        count: Annotated[int, Query(ge=1, le=1000)] = 5,
        measure: Annotated[str, Query(max_length=100, description="cosine or dot.")] = "cosine",
    ) -> dict[str, Any]:
        """Return the labels whose points are nearest to a label's, or to an image's before any label."""
        from labelbeam.neighbors.label_space import image_neighbors, label_neighbors

        if (label is None) == (vector is None):
            raise Refusal(422, "give either label or vector; exactly one of the two.")
        if label is not None:
            found = label_neighbors(run, [label], count=count, measure=measure)[label]
        else:
            features = service.vectors.get(vector or "")
            if features is None:
                raise Refusal(404, "this vector is not kept (any more). Send the image to /v1/tag again.")
            single = features.astype("float32")
            found = image_neighbors(run, single, count=count, measure=measure).near
        near = [{"label": one.name, "similarity": round(one.value, 6)} for one in found]
        return {"measure": measure, "neighbors": near}

    return router


# `POST /v1/tag`: images in, predictions out, as `labelbeam tag` writes them.

FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "Photographs, of any kind that labelbeam reads; the content decides.",
                    }
                },
            },
        }
    },
}


def tag_routes(service: TaggingService) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post(
        "/v1/tag",
        summary="Tag images",
        responses={200: {"model": TagAnswer}},
        openapi_extra={"requestBody": FORM},
    )
    async def tag(
        request: Request,
        all_scores: Annotated[bool, Query(description="Add the score of every label.")] = False,
        features: Annotated[bool, Query(description="Add the features: float16, base64.")] = False,
        decide: Annotated[
            str | None, Query(description="path, threshold or expected-f1 (default: as the run says).")
        ] = None,
        threshold: Annotated[float | None, Query(ge=0, le=1)] = None,
        tuned_for: Annotated[
            str | None, Query(description="of1, example-f1, label-f1 or subset-accuracy.")
        ] = None,
        abstain: Annotated[
            float | None, Query(ge=0, lt=1, description="Decide nothing for images unlike the training's.")
        ] = None,
        promise: Annotated[
            str | None, Query(max_length=100, description="precision=0.95, recall=0.9, label-precision=…, …")
        ] = None,
        on_average: Annotated[bool | None, Query(description="Promise recall on average.")] = None,
        unseen: Annotated[
            float | None, Query(gt=0, lt=1, description="Say which images nobody needs to look at.")
        ] = None,
        sets_among: Annotated[
            float | None, Query(gt=0, lt=1, description="List sets; the true one is among them so often.")
        ] = None,
    ) -> dict[str, Any]:
        """Tag one or many images; an image that cannot be read gets an `error`, the others their answers."""
        decision = decision_from(
            service.tagger.run.config,
            {
                "decide": decide,
                "threshold": threshold,
                "tuned_for": tuned_for,
                "abstain": abstain,
                "promise": promise,
                "on_average": on_average,
                "unseen": unseen,
                "sets_among": sets_among,
            },
        )
        refuse_batches(decision)
        uploads = await images_of(request, service)
        tagged = await service.tag(uploads, decision=decision, all_scores=all_scores)
        return {"predictions": [to_answer(one, features=features) for one in tagged]}

    return router


def refuse_batches(decision: Decision) -> None:
    """Refuse to choose images together, for a service gets them one by one.

    Raises:
        InputError: the decision asks for it.
    """
    if decision.unseen is not None and decision.on_average:
        raise InputError(
            "unseen on average is chosen among all images of a job, and a service gets them one by one. Leave "
            "on_average out, or tag a folder with `labelbeam tag --unseen … --on-average --out FILE`."
        )


async def images_of(request: Request, service: TaggingService) -> list[Upload]:
    """Return the files of a request's field `images`.

    Raises:
        Refusal: the body is no form with such files.
    """
    content_type = request.headers.get("content-type", "")
    form = await read_form(content_type, request.stream(), most_files=service.limits.files)
    # Clients that write lists their own way send `image` or `images[]`.
    uploads = [upload for files in form.files.values() for upload in files]
    if not uploads:
        raise Refusal(422, "the form holds no file. Send photographs as files: curl -F images=@a.jpg URL.")
    return uploads


def to_answer(tagged: Tagged, *, features: bool) -> dict[str, Any]:
    """Return an image's answer as JSON holds it: a line of `labelbeam tag`, and the vector."""
    line: dict[str, Any] = json.loads(tagged.prediction.to_json())
    if tagged.vector:
        line["vector"] = tagged.vector
    if features and tagged.features is not None:
        line["features"] = base64.b64encode(tagged.features.astype("<f2").tobytes()).decode()
    return line


# `POST /v1/suggest`: which labels to add to an image, given those accepted and rejected so far.

BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": SuggestQuestion.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {"type": "string", "format": "binary"},
                    "known": {"type": "array", "items": {"type": "string"}},
                    "rejected": {"type": "array", "items": {"type": "string"}},
                    "count": {"type": "integer", "minimum": 1, "maximum": 1000},
                    "mechanism": {"type": "string"},
                },
            }
        },
    },
}


def suggest_routes(service: TaggingService) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post(
        "/v1/suggest",
        summary="Suggest labels after a click",
        responses={200: {"model": SuggestAnswer}},
        openapi_extra={"requestBody": BODY},
    )
    async def suggest(request: Request) -> dict[str, Any]:
        """Suggest labels for an image that was tagged before (JSON with its `vector`), or for one sent along (form)."""
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() == "application/json":
            question, upload = await asyncio.to_thread(_question, await request.body()), None
        else:
            form = await read_form(content_type, request.stream(), most_files=1)
            question, upload = _question_of(form)
        name, vector, features = await _features(service, question, upload)
        found = await service.ask(
            lambda: service.tagger.suggest(
                features,
                accepted=question.known,
                rejected=question.rejected,
                count=question.count,
                mechanism=question.mechanism,
            ),
            urgent=True,
        )
        answer: dict[str, Any] = json.loads(found.to_json(name))
        return answer | ({"vector": vector} if vector else {})

    return router


def _question(body: bytes) -> SuggestQuestion:
    try:
        return SuggestQuestion.model_validate_json(body)
    except ValidationError as error:
        raise Refusal(422, first_problem(error)) from None


def _question_of(form: Form) -> tuple[SuggestQuestion, Upload]:
    """Return what a form asks."""
    files = [upload for one in form.files.values() for upload in one]
    if not files:
        raise Refusal(422, "the form holds no image. Send it as a file, or JSON with the image's vector.")
    allowed = {"known", "rejected", "count", "mechanism"}
    if extra := set(form.fields) - allowed:
        raise Refusal(422, f"unknown field {min(extra)[:100]!r}; allowed: {', '.join(sorted(allowed))}.")
    values: dict[str, Any] = {name: form.fields.get(name, []) for name in ("known", "rejected")}
    values |= {name: form.fields[name][-1] for name in ("count", "mechanism") if name in form.fields}
    try:
        return SuggestQuestion.model_validate(values), files[0]
    except ValidationError as error:
        raise Refusal(422, first_problem(error)) from None


async def _features(
    service: TaggingService, question: SuggestQuestion, upload: Upload | None
) -> tuple[str, str, np.ndarray]:
    """Return the image's name, the id of its vector (empty: not kept) and its features."""
    given = [one is not None for one in (question.vector, question.features, upload)]
    if sum(given) != 1:
        raise Refusal(422, f"give exactly one of vector, features and an image; {sum(given)} were given.")
    if upload is not None:
        found = (await service.encode([upload]))[0]
        if isinstance(found, UnreadableImage):
            raise Refusal(422, f"the image cannot be read: {found.reason}")
        return upload.name, service.vectors.id_of(upload.content), found
    if question.vector is not None:
        kept = service.vectors.get(question.vector)
        if kept is None:
            raise Refusal(
                404, "this vector is not kept (any more). Send the image again, to /v1/tag or here."
            )
        return question.vector, question.vector, kept
    return "features", "", _decoded(question.features or "")


def _decoded(text: str) -> np.ndarray:
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f2").astype(np.float16)
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, f"features must be float16 numbers in base64 ({error}).") from None


def first_problem(error: ValidationError) -> str:
    """Return the first thing that is wrong with a request, in a sentence."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])[:100]
    return f"{where + ': ' if where else ''}{problem['msg']}"
