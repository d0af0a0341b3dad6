"""`GET /v1/labels` and `GET /v1/neighbors`: what the run can say, and which labels it holds for alike."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from labelbeam.service.descriptions import LabelsAnswer, NeighborsAnswer
from labelbeam.service.refusals import Refusal
from labelbeam.service.tagging import TaggingService


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
            "features": run.encoder.num_features,
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
        """Return the labels whose points are nearest to a label's, or to an image's before any label is said."""
        from labelbeam.joints.label_space import image_neighbors, label_neighbors

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
