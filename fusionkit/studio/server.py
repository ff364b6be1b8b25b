"""The studio's web server, for this machine alone."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from fusionkit.errors import FusionError
from fusionkit.foreign import told
from fusionkit.pictures.pages import shared_style
from fusionkit.studio.access import Access
from fusionkit.studio.answers import Studio
from fusionkit.studio.folder import OWN

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 64 << 20
"""No picture that is brought may have more bytes."""

# Nothing of the page comes from elsewhere, and it asks nobody else.
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_ASKED = ("state", "open", "check", "plan", "draw", "cancel", "again", "forget", "free", "save", "picture")
_MOVES = ("remove", "restore")
_NOT_KEPT = {"cache-control": "no-store"}
_CLOSED = "This studio is open to its user alone: open the address that 'fusionkit studio' shows in the terminal.\n"

Answer = Callable[["Request"], Awaitable[Response]]


def application(studio: Studio, access: Access) -> Starlette:
    """The web application of a studio, which begins to draw what waits when it starts.

    Args:
        studio: What answers.
        access: Who may ask.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        studio.drawing.start()
        yield
        await run_in_threadpool(studio.drawing.close)

    page = Path(str(files("fusionkit.studio") / "page"))

    async def index(request: Request) -> Response:
        return FileResponse(page / "index.html")

    async def style(request: Request) -> Response:
        return Response(shared_style(), media_type="text/css")

    routes = [
        Route("/", index),
        Route("/pages.css", style),
        Mount("/page", StaticFiles(directory=page)),
        Route("/api/about", _about(studio)),
        *[Route(f"/api/{name}", _asked(getattr(studio, name)), methods=["POST"]) for name in (*_ASKED, *_MOVES)],
        Route("/api/upload/{name}", _upload(studio), methods=["PUT"]),
        Route("/pictures/{name}", _file(lambda name: studio.folder.file(name))),
        Route("/thumbnails/{name}", _file(studio.folder.thumbnail, changes=True)),
        Route("/previews/{name}", _file(lambda name: studio.folder.file(name, within=f"{OWN}/previews"), changes=True)),
        Route("/maps/{picture}/{name}", _map(studio)),
    ]
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return Starlette(routes=routes, middleware=[hosts, Middleware(Guarded, access=access)], lifespan=lifespan)


class Guarded:
    """Adds the headers that keep the page to itself, and refuses what strangers and other sites' pages ask for.

    Args:
        app: What answers.
        access: Who may ask: whose address or cookie has the token.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = HTTPConnection(scope)
        if (refused := self._refused(asked)) is not None:
            await refused(scope, receive, send)
            return

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *told]
            await send(message)

        await self.app(scope, receive, answered)

    def _refused(self, asked: HTTPConnection) -> Response | None:
        """What is answered in place of what was asked for; None where that may be."""
        origin, host = asked.headers.get("origin"), asked.headers.get("host", "")
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse("another site's page may not ask the studio\n", 403)
        # A browser sends a cookie to all ports of a machine.
        cookie = f"fusionkit-studio-{host.rpartition(':')[2]}"
        key = asked.query_params.get("token", "")
        if key and asked.url.path == "/" and self.access.opens(key):
            # Without the token in it, the address can be shown.
            opened = RedirectResponse("/", 303, _NOT_KEPT)
            opened.set_cookie(cookie, self.access.token, httponly=True, samesite="lax")
            return opened
        if self.access.knows(asked.headers.get("cookie", ""), cookie):
            return None
        return PlainTextResponse(_CLOSED, 403, _NOT_KEPT)


def _about(studio: Studio) -> Answer:
    async def answer(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(lambda: studio.about))

    return answer


def _asked(function: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    """An answer of plain values; what its asker can mend is told in it."""

    async def answer(request: Request) -> Response:
        try:
            body = await request.json()
        except ValueError:
            return PlainTextResponse("not JSON", 400)
        return await _told(lambda: function(body))

    return answer


def _upload(studio: Studio) -> Answer:
    async def answer(request: Request) -> Response:
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > LARGEST:
                return JSONResponse({"errors": [f"a picture has at most {LARGEST >> 20} MB"]})
        return await _told(lambda: studio.upload(request.path_params["name"], bytes(data)))

    return answer


async def _told(work: Callable[[], dict[str, Any]]) -> Response:
    try:
        return JSONResponse(await run_in_threadpool(work))
    except FusionError as error:
        return JSONResponse({"errors": str(error).split("\n")})
    except Exception as error:  # noqa: BLE001 - the page shows it, and the terminal where it comes from
        traceback.print_exc()
        return JSONResponse({"errors": [f"{told(error)}; the terminal of the studio says where"]})


def _file(find: Callable[[str], Path], *, changes: bool = False) -> Answer:
    async def answer(request: Request) -> Response:
        return await _served(lambda: find(request.path_params["name"]), changes)

    return answer


def _map(studio: Studio) -> Answer:
    async def answer(request: Request) -> Response:
        picture, name = request.path_params["picture"], request.path_params["name"]
        return await _served(
            lambda: studio.folder.file(f"{name}.png", within=f"{OWN}/maps/{studio.folder.file(picture).name}")
        )

    return answer


async def _served(find: Callable[[], Path], changes: bool = False) -> Response:
    """A file; one that may be replaced meanwhile is read at once, so that its length is its own."""
    headers = {"cache-control": "no-cache"}
    try:
        path = await run_in_threadpool(find)
        if changes:
            kind = f"image/{path.suffix[1:]}"
            return Response(await run_in_threadpool(path.read_bytes), headers=headers, media_type=kind)
        return FileResponse(path, headers=headers)
    except FusionError as error:
        return PlainTextResponse(str(error), 404)
