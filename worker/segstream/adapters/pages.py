"""What the web server tells: health, versions and metrics, and nothing of Faust's own. No page here is about a user."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import faust
from aiohttp import web, web_response
from aiohttp.http_exceptions import HttpProcessingError
from faust.web.drivers.aiohttp import Web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler
    from faust.web import Request, Response, View

    from segstream.adapters.health import Health, Report

LONGEST_PATH: Final = 2_048
"""Characters of a path and query: far more than an id has, and a quarter of what aiohttp takes."""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class OwnPages(Web):
    """A web server without Faust's own pages, that only answers what is asked in a line.

    Faust's would list every worker's address and the app's tables, and answer ``OK`` at ``/`` whatever is the matter.
    """

    default_blueprints = ()
    production_blueprints = ()
    debug_blueprints = ()
    optional_blueprints = ()

    def __init__(self, app: faust.App, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self.web_app.middlewares.append(_only_questions)
        self.web_app.on_response_prepare.append(_add_headers)
        # What is no HTTP is answered before any of that, with this: it would name the versions of aiohttp and Python.
        web_response.SERVER_SOFTWARE = "segstream"  # type: ignore[attr-defined]  # not meant to be set
        logging.getLogger("aiohttp.server").addFilter(_without_the_request)


def _without_the_request(record: logging.LogRecord) -> bool:
    """Let a log entry pass, but say of what is no HTTP only that: aiohttp would quote it, and it may have an id in it."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        record.msg, record.args = "A client sent what is no HTTP request: %s", (type(error).__name__,)
        record.exc_info = record.exc_text = None
    return True


@web.middleware
async def _only_questions(request: web.Request, handler: Handler) -> web.StreamResponse:
    if len(request.raw_path) > LONGEST_PATH:
        raise web.HTTPRequestURITooLong
    if request.body_exists:
        # It is not read; nor is the connection, which would have to be rid of it first.
        refusal = web.Response(status=413, text="413: no page takes a body")
        refusal.force_close()
        return refusal
    return await handler(request)


async def _add_headers(_request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    response.headers.pop("Server", None)  # which versions of what there is to attack


def add_pages(app: faust.App, health: Health, registry: CollectorRegistry) -> None:
    """Add ``/health/live``, ``/health/ready``, ``/info`` and ``/metrics``.

    Parameters
    ----------
    app : faust.App
        Whose web server serves them.
    health : Health
        What they tell.
    registry : CollectorRegistry
        The metrics.
    """

    def reported(view: View, report: Report) -> Response:
        return view.json(report.body, status=200 if report.well else 503)

    @app.page("/health/live")
    async def live(view: View, request: Request) -> Response:  # noqa: ARG001 - given by the web server
        return reported(view, health.live())

    @app.page("/health/ready")
    async def ready(view: View, request: Request) -> Response:  # noqa: ARG001 - given by the web server
        return reported(view, health.ready())

    @app.page("/info")
    async def info(view: View, request: Request) -> Response:  # noqa: ARG001 - given by the web server
        return view.json(health.info())

    @app.page("/metrics")
    async def metrics(view: View, request: Request) -> Response:  # noqa: ARG001 - given by the web server
        return view.bytes(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
