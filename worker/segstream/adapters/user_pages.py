"""Pages about single users, for whoever shows the token; without one set, there are none."""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING, Any, Final

import structlog

from segstream.coherence import read_token
from segstream.errors import SegstreamError, ServerError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import faust
    from faust.web import Request, Response, View

    from segstream.access import Password

    Question = Callable[[], Awaitable[dict[str, Any]]]

MOST: Final = 8
"""Questions that may wait: they are answered one after the other, beside the events."""

SECONDS: Final = 10.0
"""For an answer; Redis is given up after five."""

_USER: Final = "{user:[^/]+}"
"""Any id; aiohttp's own pattern leaves out those with braces."""


def allowed(header: str | None, token: str) -> bool:
    """Tell whether an ``Authorization`` header shows the token, in a time that does not depend on how much of it is right.

    Examples
    --------
    >>> allowed("Bearer much-longer-than-that", "much-longer-than-that")
    True
    >>> allowed("Bearer guessed", "much-longer-than-that"), allowed(None, "much-longer-than-that")
    (False, False)
    """
    scheme, _, shown = (header or "").partition(" ")
    same = hmac.compare_digest(shown.strip().encode("utf-8", "surrogateescape"), token.encode())
    return same and scheme.lower() == "bearer"


def add_user_pages(
    app: faust.App,
    token: Password,
    known: Callable[[str], Awaitable[dict[str, Any]]],
    explained: Callable[[str, str | None], Awaitable[dict[str, Any]]],
) -> None:
    """Add ``/users/<id>``, ``/users/<id>/segments`` and ``/users/<id>/segments/<segment>``.

    They answer 401 without the token, 404 for an unknown user or segment, and 503 when Redis does not answer or too
    much is asked.

    Parameters
    ----------
    app : faust.App
        Whose web server serves them.
    token : Password
        Its file, if it has one, is read at each request, so that a new one counts at once. What is no token, as at the
        start, lets nobody in; the log says so once.
    known : async function
        Returns what is known of a user; raises ``SegstreamError`` if that is nothing.
    explained : async function
        Returns why a user is or is not in a segment, or in each; raises ``SegstreamError`` if there is no such thing.
    """
    desk = _Desk(token)

    @app.page(f"/users/{_USER}")
    async def of_user(view: View, request: Request, user: str) -> Response:
        return await desk.answer(view, request, lambda: known(user))

    @app.page(f"/users/{_USER}/segments")
    async def of_segments(view: View, request: Request, user: str) -> Response:
        return await desk.answer(view, request, lambda: explained(user, None))

    @app.page(f"/users/{_USER}/segments/{{segment}}")
    async def of_segment(view: View, request: Request, user: str, segment: str) -> Response:
        return await desk.answer(view, request, lambda: explained(user, segment))


class _Desk:
    """Answers those who show the token, one at a time."""

    def __init__(self, token: Password) -> None:
        self._token, self._log = token, structlog.get_logger("segstream")
        self._one, self._inside, self._trouble = asyncio.Lock(), 0, ""

    async def answer(self, view: View, request: Any, question: Question) -> Response:
        if not self._shown(request.headers.get("Authorization")):
            told, headers = "send the token as Authorization: Bearer <token>", {"WWW-Authenticate": "Bearer"}
            return view.json({"error": told}, status=401, headers=headers)
        try:
            return view.json(await self._ask(question))
        except ServerError as failure:
            return view.json({"error": str(failure)}, status=503, headers={"Retry-After": "2"})
        except SegstreamError as failure:
            return view.json({"error": str(failure)}, status=404)

    def _shown(self, header: str | None) -> bool:
        token, trouble = None, ""
        try:
            token = read_token(self._token)
        except SettingsError as error:
            trouble = str(error)
        if trouble and trouble != self._trouble:  # anybody may ask: not a line for each request
            self._log.warning("web_token", error=trouble)
        self._trouble = trouble
        return token is not None and allowed(header, token)

    async def _ask(self, question: Question) -> dict[str, Any]:
        if self._inside >= MOST:
            raise ServerError(f"{MOST} questions wait already; ask again")
        self._inside += 1
        try:
            async with asyncio.timeout(SECONDS):
                await self._one.acquire()
                # The answer is found in a thread, which cannot be cancelled: it keeps its turn until it ends.
                work = asyncio.ensure_future(question())
                work.add_done_callback(self._ended)
                return await asyncio.shield(work)
        except TimeoutError:
            raise ServerError(f"no answer within {SECONDS:.0f} s; ask again") from None
        finally:
            self._inside -= 1

    def _ended(self, work: asyncio.Future[dict[str, Any]]) -> None:
        self._one.release()
        if not work.cancelled():
            work.exception()  # nobody may be left to be told
