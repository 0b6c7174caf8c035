"""``/redoc`` without its one picture from a CDN; ``/docs`` needs nothing of the kind."""

from functools import cache
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html
from starlette.responses import HTMLResponse, Response

ICON = "/static/favicon.svg"
_SCRIPT = "/redoc/redoc.standalone.js"
_OUTSIDE = "https://cdn.redoc.ly/redoc/logo-mini.svg"


def add_redoc(app: FastAPI) -> None:
    """Serve ReDoc from the installed package, its logo replaced: a page that works offline asks nobody else."""

    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> HTMLResponse:
        return get_redoc_html(
            openapi_url="/openapi.json",
            title=f"{app.title} – reference",
            redoc_js_url=_SCRIPT,
            redoc_favicon_url=ICON,
            with_google_fonts=False,
        )

    @app.get(_SCRIPT, include_in_schema=False)
    def script() -> Response:
        return Response(_script(), media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})


@cache
def _script() -> bytes:
    packaged = Path(fastapi_offline.__file__).with_name("static") / "redoc.standalone.js"
    return packaged.read_bytes().replace(_OUTSIDE.encode(), ICON.encode())
