"""What the web server tells: health, versions and metrics, and nothing of Faust's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import faust
from faust.web.drivers.aiohttp import Web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

if TYPE_CHECKING:
    from faust.web import Request, Response, View

    from segstream.adapters.health import Health, Report


class OwnPages(Web):
    """A web server without Faust's own pages.

    They would list every worker's address and the app's tables, and answer ``OK`` at ``/`` whatever is the matter.
    """

    default_blueprints = ()
    production_blueprints = ()
    debug_blueprints = ()
    optional_blueprints = ()


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
