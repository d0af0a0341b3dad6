"""Routes for programs: health, labels and neighbours, tags, suggestions."""

import asyncio
import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labelbeam import __version__
from labelbeam.data.images import UnreadableImage
from labelbeam.errors import InputError
from labelbeam.predict.decision import Decision
from labelbeam.runs.choices import decision_from
from labelbeam.service.admission import BUSY_SECONDS, Refusal
from labelbeam.service.tagging import Tagged, TaggingService
from labelbeam.service.uploads import Form, Upload, read_form


class ScoredLabel(BaseModel):
    """A label with its score, and hard bounds of the score."""

    label: str
    score: float = Field(ge=0, le=1)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    stderr: float = Field(ge=0, description="Standard error of the score; 0 where nothing was sampled.")


class ListedSet(BaseModel):
    """A label set with its probability."""

    labels: list[str]
    prob: float = Field(ge=0, le=1)


class TaggedImage(BaseModel):
    """One image as `labelbeam tag` says it; with `error` instead of the rest where it could not be read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image": "a.jpg",
                    "labels": [{"label": "sheep", "score": 0.93, "low": 0.9, "high": 0.95, "stderr": 0.004}],
                    "decide": "path",
                    "path": ["sheep"],
                    "log_prob": -0.41,
                    "exact": True,
                    "calibrated": True,
                    "fits": 0.62,
                    "vector": "2f6ab9d6c8ed3c1f6e1d3f3a9a6f0b1c",
                },
                {"image": "b.jpg", "error": "the file is empty (0 bytes). Copy it again."},
            ]
        }
    )
    image: str = Field(description="The name that the request gave the file.")
    labels: list[ScoredLabel] | None = Field(None, description="The decided set, best score first.")
    decide: str | None = None
    path: list[str] | None = None
    log_prob: float | None = None
    exact: bool | None = None
    calibrated: bool | None = None
    fits: float | None = None
    refused: bool | None = None
    kept: float | None = Field(None, description="p(the rules are kept | image), where it runs with --rules.")
    promise: str | None = Field(None, description="What is promised of the labels; with `promise`.")
    void: bool | None = Field(None, description="The image is so odd that no promise holds of it.")
    unseen: bool | None = Field(None, description="Whether nobody needs to look at it; with `unseen`.")
    sets: list[ListedSet] | None = Field(None, description="The true set is among these; with `sets_among`.")
    scores: dict[str, float] | None = Field(None, description="Of every label; with `all_scores`.")
    vector: str | None = Field(None, description="Id of the image's features, for `/v1/suggest`.")
    features: str | None = Field(None, description="The features, float16, base64; with `features`.")
    error: str | None = Field(None, description="Why the image could not be read.")


class TagAnswer(BaseModel):
    """Predictions in the order of the images."""

    predictions: list[TaggedImage]


class TagOptions(BaseModel):
    """How sets are decided, and what is said beside them."""

    all_scores: bool = Field(False, description="Add the score of every label.")
    features: bool = Field(False, description="Add the features: float16, base64.")
    decide: str | None = Field(None, description="path, threshold or expected-f1 (default: as the run says).")
    threshold: float | None = Field(None, ge=0, le=1)
    tuned_for: str | None = Field(None, description="of1, example-f1, label-f1 or subset-accuracy.")
    abstain: float | None = Field(
        None, ge=0, lt=1, description="Decide nothing for images unlike the training's."
    )
    promise: str | None = Field(
        None, max_length=100, description="precision=0.95, recall=0.9, label-precision=…, …"
    )
    on_average: bool | None = Field(None, description="Promise recall on average.")
    unseen: float | None = Field(None, gt=0, lt=1, description="Say which images nobody needs to look at.")
    sets_among: float | None = Field(
        None, gt=0, lt=1, description="List sets; the true one is among them so often."
    )


class SuggestQuestion(BaseModel):
    """An image, by exactly one of `vector` and `features`, and what a person decided of it."""

    model_config = ConfigDict(
        extra="forbid",
        cache_strings="keys",  # vectors are never asked for again in a form that a cache of thousands would find
        json_schema_extra={
            "examples": [
                {"vector": "2f6ab9d6c8ed3c1f6e1d3f3a9a6f0b1c", "accepted": ["sheep"], "rejected": ["dog"]}
            ]
        },
    )
    vector: str | None = Field(None, max_length=64, description="As `/v1/tag` gave it.")
    features: str | None = Field(None, max_length=1_000_000, description="float16, little-endian, base64.")
    accepted: list[str] = Field([], max_length=1000, description="Labels that the image has.")
    rejected: list[str] = Field([], max_length=1000, description="Labels that it has not.")
    count: int = Field(10, ge=1, le=1000, description="Most suggestions.")
    mechanism: str | None = Field(None, max_length=100, description="Default: the run's better one.")


class SuggestAnswer(BaseModel):
    """Suggestions, best first; never one of the accepted or rejected labels."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "image": "2f6ab9d6c8ed3c1f6e1d3f3a9a6f0b1c",
                    "mechanism": "any-subset",
                    "accepted": ["sheep"],
                    "rejected": ["dog"],
                    "suggestions": [{"label": "grass", "score": 0.8, "low": 0.8, "high": 0.8, "stderr": 0.0}],
                    "vector": "2f6ab9d6c8ed3c1f6e1d3f3a9a6f0b1c",
                }
            ]
        }
    )
    image: str
    mechanism: str
    accepted: list[str]
    rejected: list[str]
    suggestions: list[ScoredLabel]
    evidence: float | None = None
    effective_samples: float | None = None
    note: str | None = None
    vector: str | None = None


class LabelRow(BaseModel):
    """A label of the run."""

    label: str
    training_images: int


class LabelsAnswer(BaseModel):
    """The run's labels in label order."""

    labels: list[LabelRow]
    head: str
    features: int = Field(description="Numbers of an image's feature vector.")


class Near(BaseModel):
    """A label near the query."""

    label: str
    similarity: float


class NeighborsAnswer(BaseModel):
    """Nearest first."""

    measure: str
    neighbors: list[Near]


class State(BaseModel):
    """Whether the service lives, or takes work."""

    state: str
    run: str | None = Field(None, description="The run's name, in `/readyz`.")
    fingerprint: str | None = Field(None, description="Changes with anything its answers depend on.")
    version: str | None = Field(None, description="Of labelbeam.")


class Refused(BaseModel):
    """Why there is no answer, and what to do."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"error": "unknown label 'hrose'."}]})
    error: str


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refused, "description": text}
    for status, text in {
        401: "The API key is missing or wrong.",
        403: "Asked by another web site, or under a foreign name.",
        404: "There is no such thing (any more).",
        408: "The request did not arrive in time.",
        409: "Something else was changed meanwhile.",
        413: "Too large: bytes, files or fields.",
        415: "Another content type than is understood.",
        422: "The request cannot be understood; `error` says why.",
        429: "More requests than allowed; `Retry-After` says when to come again.",
        503: "Overloaded, or ending; `Retry-After` says when to come again.",
    }.items()
}
"""With what any request may be refused."""


# `GET /healthz` and `GET /readyz`: for whoever watches over the service.


def health_routes(service: TaggingService, *, run: str, fingerprint: str) -> APIRouter:
    """Return the routes.

    Args:
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
            features = _kept(service, vector or "").astype("float32")
            found = image_neighbors(run, features, count=count, measure=measure).near
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
            }
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
    async def tag(request: Request, asked: Annotated[TagOptions, Query()]) -> dict[str, Any]:
        """Tag one or many images; an image that cannot be read gets an `error`, the others their answers."""
        decision = decision_from(
            service.tagger.run.config, asked.model_dump(exclude={"all_scores", "features"})
        )
        refuse_batches(decision)
        uploads = await images_of(request, service)
        tagged = await service.tag(uploads, decision=decision, all_scores=asked.all_scores)
        return {"predictions": [to_answer(one, features=asked.features) for one in tagged]}

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
                    "accepted": {"type": "array", "items": {"type": "string"}},
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
            question, upload = await asyncio.to_thread(parsed, SuggestQuestion, await request.body()), None
        else:
            form = await read_form(content_type, request.stream(), most_files=1)
            question, upload = _question_of(form)
        name, vector, features = await _features(service, question, upload)
        found = await service.ask(
            lambda: service.tagger.suggest(
                features,
                accepted=question.accepted,
                rejected=question.rejected,
                count=question.count,
                mechanism=question.mechanism,
            ),
            urgent=True,
        )
        answer: dict[str, Any] = json.loads(found.to_json(name))
        return answer | ({"vector": vector} if vector else {})

    return router


Asked = TypeVar("Asked", bound=BaseModel)


def parsed(model: type[Asked], body: bytes) -> Asked:
    """Return a request's JSON as a model.

    Raises:
        Refusal: 422; the first thing that is wrong with it.
    """
    with understood():
        return model.model_validate_json(body)


@contextmanager
def understood() -> Iterator[None]:
    """Turn what a model refuses into the response that says the first thing that is wrong."""
    try:
        yield
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])[:100]
        raise Refusal(422, f"{where + ': ' if where else ''}{problem['msg']}") from None


def _question_of(form: Form) -> tuple[SuggestQuestion, Upload]:
    """Return what a form asks."""
    files = [upload for one in form.files.values() for upload in one]
    if not files:
        raise Refusal(422, "the form holds no image. Send it as a file, or JSON with the image's vector.")
    allowed = {"accepted", "rejected", "count", "mechanism"}
    if extra := set(form.fields) - allowed:
        raise Refusal(422, f"unknown field {min(extra)[:100]!r}; allowed: {', '.join(sorted(allowed))}.")
    values: dict[str, Any] = {name: form.fields.get(name, []) for name in ("accepted", "rejected")}
    values |= {name: form.fields[name][-1] for name in ("count", "mechanism") if name in form.fields}
    with understood():
        return SuggestQuestion.model_validate(values), files[0]


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
        return question.vector, question.vector, _kept(service, question.vector)
    return "features", "", _decoded(question.features or "")


def _kept(service: TaggingService, vector: str) -> np.ndarray:
    if (features := service.vectors.get(vector)) is None:
        raise Refusal(404, "this vector is not kept (any more). Send the image again.")
    return features


def _decoded(text: str) -> np.ndarray:
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f2").astype(np.float16)
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, f"features must be float16 numbers in base64 ({error}).") from None
