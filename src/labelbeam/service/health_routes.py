"""`GET /healthz` and `GET /readyz`: for whoever watches over the service."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from labelbeam.service.admission import BUSY_SECONDS
from labelbeam.service.descriptions import State
from labelbeam.service.tagging import TaggingService


def health_routes(service: TaggingService) -> APIRouter:
    """Return the routes."""
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
            return JSONResponse({"state": "ready"})
        headers = {"Retry-After": str(round(BUSY_SECONDS))}
        return JSONResponse({"state": "busy"}, status_code=503, headers=headers)

    return router
