"""What a worker answers about single users: as ``segstream user`` and ``segstream explain`` do, from Redis alone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from segstream.coherence import web_token
from segstream.dossier import gather
from segstream.errors import SegstreamError
from segstream.explaining import collect
from segstream.explanation import explanation

if TYPE_CHECKING:
    from faust import App

    from segstream.settings import Settings


class Enquiries:
    """Answers one question after another, each in a thread of its own: definitions are read for it, which takes a while.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def known(self, user: str) -> dict[str, Any]:
        """Return what is known of a user.

        Raises
        ------
        SegstreamError
            If that is nothing.
        ServerError
            Redis does not answer.
        """
        return await asyncio.to_thread(asyncio.run, self._known(user))

    async def explained(self, user: str, segment: str | None) -> dict[str, Any]:
        """Return why a user is or is not in a segment; in each, if that is None.

        Raises
        ------
        SegstreamError
            There is no such user or segment.
        ServerError
            Redis does not answer.
        """
        return await asyncio.to_thread(asyncio.run, self._explained(user, segment))

    async def _known(self, user: str) -> dict[str, Any]:
        found = await gather(self._settings, user)
        if not found.known:
            raise SegstreamError(f"nothing is known of user {user!r}; ids count as they are written")
        return found.document(self._now())

    async def _explained(self, user: str, segment: str | None) -> dict[str, Any]:
        evidence = await collect(self._settings, user)
        return explanation(evidence, evidence.at(evidence.dossier.moment(self._now())), segment)

    def _now(self) -> int | None:
        return None if self._settings.clock == "event" else time.time_ns() // 1_000_000


def answer_enquiries(app: App, settings: Settings) -> None:
    """Add the pages about users to a worker's web server, if a token is set.

    Parameters
    ----------
    app : faust.App
        From `segstream.app.create_app`.
    settings : Settings
    """
    if token := web_token(settings):
        from segstream.adapters.user_pages import add_user_pages  # noqa: PLC0415 - only where it is asked for

        own = Enquiries(settings)
        add_user_pages(app, token, own.known, own.explained)
