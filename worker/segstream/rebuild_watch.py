"""Notices, once a second, that the read model is to be made anew: somebody has asked, or a Redis server is another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from segstream.librarian import Librarian
    from segstream.ports import Rebuilds


class RebuildWatch:
    """Knows the latest request.

    Parameters
    ----------
    rebuilds : Rebuilds
        Where requests are kept.
    librarian : Librarian
        Writes the catalog, which is part of the read model.

    Attributes
    ----------
    requested : int
        Number of the latest request known; 0 before any.
    """

    def __init__(self, rebuilds: Rebuilds, librarian: Librarian) -> None:
        self._rebuilds, self._librarian = rebuilds, librarian
        self.requested = 0
        self._log = structlog.get_logger("segstream")

    async def look(self) -> None:
        """Look for a request; make one if a server may have forgotten what it acknowledged.

        Raises
        ------
        ServerError
            A server does not answer.
        """
        found = await self._rebuilds.watch()
        if found.changed and found.first:
            self._log.info("redis_servers", known=found.changed)
        elif found.changed:
            self._log.warning(
                "redis_server_changed",
                servers=found.changed,
                warning="a Redis server was started anew, or a replica has taken its place: it may have lost answers "
                "that it had acknowledged, so the read model is made anew from the state",
            )
        if found.requested > self.requested:
            if self.requested:
                self._log.info("rebuild_requested", request=found.requested)
            self.requested = found.requested
            self._librarian.describe_again()
