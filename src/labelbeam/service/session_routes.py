"""`POST /v1/session`: a browser shows the API key once and gets a cookie, since pictures carry no headers."""

from fastapi import APIRouter, Request, Response

from labelbeam.service.access import COOKIE, Session


def session_routes(session: Session) -> APIRouter:
    """Return the route; that the key is right was seen before the request came here."""
    router = APIRouter()

    @router.post("/v1/session", status_code=204, summary="Sign a browser in")
    async def sign_in(request: Request) -> Response:
        """Set a cookie that stands for the key until the service ends or the browser closes."""
        response = Response(status_code=204)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, session.cookie, httponly=True, samesite="strict", secure=secure)
        return response

    return router
