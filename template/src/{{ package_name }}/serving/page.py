"""The page at `/`, on which people try the model, and what it asks the server for."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from .engine import Engine
from .telemetry import NamedRoute

FOLDER = Path(__file__).parent
SCRIPTS = "".join(path.read_text("utf-8") for path in FOLDER.with_name("data").glob("*.js"))
"""Of inputs that are no text and no number, as images."""
PAGE = (FOLDER / "page.html").read_text("utf-8").replace("// FILES OF DATA\n", SCRIPTS)
FETCHED = "connect-src 'self'; img-src data:"
REFUSED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def routes(engine: Engine) -> list[Route]:
    """Return the routes of the page and of the schema that it is made of."""
    headers = {"Content-Security-Policy": _policy()}

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE, headers=headers)

    async def schema(request: Request) -> Response:
        return JSONResponse(about(engine))

    return [NamedRoute("/", page), NamedRoute("/model/schema", schema)]


def about(engine: Engine) -> dict[str, Any]:
    """Return what a request and its answer consist of, as JSON schemas, with an example."""
    served = engine.require_loaded()
    spec = served.predictor.spec
    return {
        "summary": spec.objective.summary(),
        "limits": spec.encoder.limits(),
        "request": served.schema.request.model_json_schema(),
        "response": served.schema.response.model_json_schema(),
        "example": spec.encoder.request(spec.encoder.example),
    }


def _policy() -> str:
    """Return the policy that lets the browser run the page's own style and script, and no other."""
    own = []
    for kind in ("style", "script"):
        [content] = re.findall(rf"<{kind}\b[^>]*>(.*?)</{kind}>", PAGE, re.DOTALL)
        digest = b64encode(sha256(content.encode()).digest()).decode()
        own.append(f"{kind}-src 'sha256-{digest}'")
    return "; ".join([REFUSED, FETCHED, *own])
