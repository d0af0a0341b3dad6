"""`POST /v1/suggest`: which labels to add to an image, given those accepted and rejected so far."""

import base64
import binascii
import json
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from pydantic import ValidationError

from labelbeam.data.images import UnreadableImage
from labelbeam.service.descriptions import SuggestAnswer, SuggestQuestion
from labelbeam.service.refusals import Refusal
from labelbeam.service.tagging import TaggingService
from labelbeam.service.uploads import Form, Upload, read_form

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
            question, upload = _question(await request.body()), None
        else:
            form = await read_form(content_type, request.stream(), most_files=1)
            question, upload = _question_of(form)
        name, vector, features = await _features(service, question, upload)
        found = await service.ask(
            lambda: service.tagger.suggest(
                features,
                known=question.known,
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
