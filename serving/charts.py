"""The page's charts: plotly's script from the installed package, so that the page asks no other host."""

import gzip
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import FastAPI, Request
from starlette.responses import Response

SCRIPT = "/static/plotly.min.js"
_MAP_STYLE = re.compile(rb'if\(!document\.getElementById\("[0-9a-f]{64}"\)\)')
"""Puts the rules of plotly's maps into the page as an inline style. The page draws none and forbids inline styles."""


def add_charts(app: FastAPI) -> None:
    """Serve plotly's bundled script. To be called before ``/static`` is mounted: the first route that fits answers."""

    @app.get(SCRIPT, include_in_schema=False)
    def script(request: Request) -> Response:
        plain, packed, tag = _script()
        # A week: it changes with the package only, and an older one draws the same charts.
        headers = {"Cache-Control": "public, max-age=604800", "ETag": tag, "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == tag:
            return Response(status_code=304, headers=headers)
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return Response(plain, media_type="text/javascript", headers=headers)
        return Response(packed, media_type="text/javascript", headers=headers | {"Content-Encoding": "gzip"})


@cache
def _script() -> tuple[bytes, bytes, str]:
    """Plain, packed (4.8 MB are 1.5), and its tag. Read when a chart is first drawn; the list does not wait."""
    plain = _MAP_STYLE.sub(b"if(false)", (files("plotly") / "package_data" / "plotly.min.js").read_bytes())
    return plain, gzip.compress(plain, mtime=0), f'W/"{sha256(plain).hexdigest()[:16]}"'
