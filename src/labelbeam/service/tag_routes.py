"""`POST /v1/tag`: images in, predictions out, as `labelbeam tag` writes them."""

import base64
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from labelbeam.joints.choices import decision_from
from labelbeam.service.descriptions import TagAnswer
from labelbeam.service.refusals import Refusal
from labelbeam.service.tagging import Tagged, TaggingService
from labelbeam.service.uploads import Upload, read_form

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
    ) -> dict[str, Any]:
        """Tag one or many images; an image that cannot be read gets an `error`, the others their answers."""
        decision = decision_from(
            service.tagger.run.config,
            decide=decide,
            threshold=threshold,
            tuned_for=tuned_for,
            abstain=abstain,
        )
        uploads = await images_of(request, service)
        tagged = await service.tag(uploads, decision=decision, all_scores=all_scores)
        return {"predictions": [told(one, features=features) for one in tagged]}

    return router


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


def told(tagged: Tagged, *, features: bool) -> dict[str, Any]:
    """Return an image's answer as JSON holds it: a line of `labelbeam tag`, and the vector."""
    line: dict[str, Any] = json.loads(tagged.prediction.to_json())
    if tagged.vector:
        line["vector"] = tagged.vector
    if features and tagged.features is not None:
        line["features"] = base64.b64encode(tagged.features.astype("<f2").tobytes()).decode()
    return line
