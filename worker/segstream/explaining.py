"""What it takes to explain a user: the state, and the definitions and models that decide. Only Redis is read."""

from __future__ import annotations

import json
import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

from segstream.adapters.connections import redis_settings
from segstream.adapters.redis.connection import connect
from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.adapters.redis.look import Look
from segstream.adapters.redis.models import RedisModels
from segstream.core.basis import load_bases
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.core.explanations import Explainer, TooEarlyError
from segstream.core.partitioning import partitioner
from segstream.dossier import Dossier, gather
from segstream.errors import SegstreamError, ServerError
from segstream.library import Library, Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from segstream.adapters.redis.connection import Client
    from segstream.core.basis import Basis
    from segstream.core.decider import Decider
    from segstream.core.user import User
    from segstream.settings import Settings

MOST_ZEROS: Final = 12
"""Digits up to which a number is tried with zeros before it."""


class Evidence(NamedTuple):
    """All that an explanation rests on.

    Parameters
    ----------
    dossier : Dossier
        What is known of the user.
    user : User
        The private state.
    deciders : tuple of Decider
        From the user's basis on; the last is in force.
    """

    dossier: Dossier
    user: User
    deciders: tuple[Decider, ...]

    def at(self, moment: int) -> Explainer:
        """Explain the user as of a moment (ms).

        Raises
        ------
        SegstreamError
            If the moment is before the user's last decision.
        """
        try:
            return Explainer(self.user, self.deciders, moment)
        except TooEarlyError as error:
            raise SegstreamError(
                f"--at: {error}; what was so before is told by `segstream changes --user {shlex.quote(self.user.name)} "
                "--from earliest`"
            ) from None


async def collect(settings: Settings, user: str) -> Evidence:
    """Gather what explains a user.

    Parameters
    ----------
    settings : Settings
        Where Redis is, what keys begin with, and the partitioner.
    user : str
        The id.

    Raises
    ------
    SegstreamError
        If there is no such user.
    ServerError
        Redis cannot be reached, refuses, or has lost what decides.
    """
    dossier = await gather(settings, user)
    client = connect(redis_settings(settings))
    try:
        if dossier.state is None:
            raise SegstreamError(await _unknown(client, settings, dossier))
        bases = [each for each in load_bases(dossier.meta.bases) if each.number >= dossier.state.basis]
        if not bases or bases[0].number != dossier.state.basis:
            raise ServerError(
                f"the state of user {user!r} rests on basis {dossier.state.basis} of partition {dossier.partition}, which "
                "Redis does not hold any more; `segstream reset` begins anew"
            )
        return Evidence(dossier, dossier.state, await _deciders(client, settings, bases))
    finally:
        await client.aclose()


async def _deciders(client: Client, settings: Settings, bases: Sequence[Basis]) -> tuple[Decider, ...]:
    log, models = RedisDefinitions(client, settings.redis_prefix), RedisModels(client, settings.redis_prefix)
    library = Library()
    wanted = {basis.definitions for basis in bases}
    try:
        for version in await log.load(min(wanted) - 1):
            if version.version in wanted:
                text = f"definitions version {version.version}"
                definitions = read_definitions(version.text, text)
                library.add_version(Version(version.version, version.effective_at, definitions))
        for name, number in sorted({item for basis in bases for item in basis.models.items()}):
            saved = await models.snapshot(name, number)
            if saved is not None:
                library.add_snapshot(Snapshot.from_json(json.loads(saved)))
    except ValueError as error:
        raise ServerError(f"a model in Redis cannot be read: {error}") from error
    finally:
        await log.close()
        await models.close()
    return tuple(library.decider(basis) for basis in bases)


async def _unknown(client: Client, settings: Settings, dossier: Dossier) -> str:
    """Say that there is no such user, and which one may be meant."""
    if dossier.known:
        return (
            f"the private state of user {dossier.user!r} is not in Redis, only the public answer: was it removed, or is "
            "SEGSTREAM_REDIS_PREFIX another?"
        )
    user, partitions, look = dossier.user, dossier.partitions, Look(client, settings.redis_prefix)
    place = partitioner(settings.partitioner)
    near: str | None = None
    try:
        for name in variants(user):
            if (await look.user(place(name.encode(), partitions), name)).state is not None:
                near = name
                break
        else:
            near = next(iter(get_close_matches(user, await look.near(partitions, user), 1)), None)
    finally:
        await look.close()
    hint = f"did you mean {near!r}?" if near else "ids count as they are written"
    return f"nothing is known of user {user!r} (partition {dossier.partition} of {partitions}); {hint}"


def variants(user: str) -> Iterator[str]:
    """Yield other ways in which an id may have been written.

    Examples
    --------
    >>> list(variants("0042"))[:4]
    ['anon:0042', '00042', '000042', '0000042']
    >>> list(variants(" Ada "))
    ['Ada', 'ada', 'anon:Ada']
    """
    bare = user.strip()
    found = [bare, bare.lower(), bare.upper() if bare == bare.lower() else bare]
    found.append(bare.removeprefix("anon:") if bare.startswith("anon:") else f"anon:{bare}")
    if bare.isdecimal():
        found += [bare.zfill(length) for length in range(len(bare) + 1, MOST_ZEROS + 1)]
        found.append(bare.lstrip("0") or "0")
    yield from (name for name in dict.fromkeys(found) if name != user and name)
