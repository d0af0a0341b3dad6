"""`GET /` and `/page/NAME`: the page's own files, those that are there when the service starts and no others."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from labelbeam.service.refusals import Refusal

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
