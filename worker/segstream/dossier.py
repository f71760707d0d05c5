"""Everything known of one user: the public answer, and the private state behind it.

Read without taking anything over, so that a worker may go on meanwhile; the two may be milliseconds apart.
"""

from __future__ import annotations

from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from segstream.adapters.connections import redis_settings
from segstream.adapters.redis.connection import address, connect
from segstream.adapters.redis.definitions import RedisDefinitions
from segstream.adapters.redis.errors import redis_errors
from segstream.adapters.redis.look import Look
from segstream.core.basis import Basis, load_bases
from segstream.core.changes import shown
from segstream.core.definitions import Definitions, read_definitions
from segstream.core.difference import counted_since
from segstream.core.events import raw_id
from segstream.core.partitioning import partitioner
from segstream.core.time import NEVER, format_time
from segstream.core.user import DIGEST, User
from segstream.errors import DefinitionError, ServerError
from segstream_schemas import Answer, AsyncSegmentReader, Catalog
from segstream_schemas.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from segstream.adapters.redis.connection import Client
    from segstream.core.types import Value
    from segstream.ports import DefinitionsVersion, Meta
    from segstream.settings import Settings


class Dossier(NamedTuple):
    """What there is.

    Parameters
    ----------
    user : str
        The id.
    partition, partitions : int
        The number that owns the user, and how many there are.
    catalog : Catalog
        What others are told of the segments.
    answer : Answer or None
        What others are told of the user; None where there is nothing to be told.
    meta : Meta
        The partition's own state.
    state : User or None
        The private state; None for an unknown user.
    basis : Basis or None
        The versions that the last decision rests on.
    definitions : Definitions or None
        Those of the basis, by which the features were kept.
    counted_since : dict of str to (int, int)
        The version, and the moment (ms) it came into force, from which on each feature and trait has been counted
        without a break; without those that have been since version 1.
    """

    user: str
    partition: int
    partitions: int
    catalog: Catalog
    answer: Answer | None
    meta: Meta
    state: User | None
    basis: Basis | None
    definitions: Definitions | None
    counted_since: Mapping[str, tuple[int, int]] = MappingProxyType({})

    @property
    def known(self) -> bool:
        """Whether anything is known of the user."""
        return self.answer is not None or self.state is not None

    def moment(self, now: int | None = None) -> int:
        """Return the moment (ms) of which features are told: the partition's clock, or ``now`` if that is later."""
        decided = self.state.decided_at if self.state else 0
        return max(self.meta.clock, decided, now or 0)

    def features(self, at: int) -> dict[str, Value]:
        """Return the value of each feature and trait at a moment (ms), as people read it; unknown ones are None."""
        if self.state is None or self.definitions is None:
            return {}
        return {
            feature.name: shown(
                feature.accumulator.value(state, at),
                feature.accumulator.kind,
            )
            for feature, state in zip(self.definitions.features, self.state.features, strict=True)
        }

    def document(self, now: int | None = None) -> dict[str, Any]:
        """Return everything as JSON has it.

        Parameters
        ----------
        now : int, optional
            The present in ms; leave it out in replays.
        """
        at = self.moment(now)
        answer = None if self.answer is None else self.answer.model_dump(mode="json", exclude={"user_id"})
        state: dict[str, Any] | None = None
        if self.state is not None:
            state = _state(self.state, self.basis) | {"as_of": format_time(at), "features": self.features(at)}
            state["features_since"] = {
                name: {"version": version, "effective_at": format_time(moment) if moment else None}
                for name, (version, moment) in self.counted_since.items()
            }
        return {
            "user_id": self.user,
            "partition": self.partition,
            "partitions": self.partitions,
            "answer": answer,
            "state": state,
        }


async def gather(settings: Settings, user: str) -> Dossier:
    """Return everything known of a user.

    Parameters
    ----------
    settings : Settings
        Where Redis is, what keys begin with, and the partitioner.
    user : str
        The id.

    Raises
    ------
    ServerError
        Redis cannot be reached, refuses, or holds something else than a worker of this version writes.
    """
    client = connect(redis_settings(settings))
    try:
        with redis_errors(address(client)):
            reader = AsyncSegmentReader(client, prefix=settings.segments_prefix)
            catalog, answer = await reader.catalog(), await reader.answer_of(user)
        number = partitioner(settings.partitioner)(raw_id(user).encode(), catalog.partitions)
        look = Look(client, settings.redis_prefix)
        try:
            meta, packed = await look.user(number, user)
        finally:
            await look.close()
        state = None if packed is None else User.decode(user, packed)
        basis = None if state is None else _basis(meta, state)
        definitions, since = None, dict[str, tuple[int, int]]()
        if basis is not None:
            definitions, since = await _definitions(client, settings, basis.definitions)
    except (ContractError, ValueError) as error:
        raise ServerError(str(error)) from error
    finally:
        await client.aclose()
    facts = user, number, catalog.partitions, catalog, answer, meta, state, basis, definitions, since
    return Dossier(*facts)


def _basis(meta: Meta, state: User) -> Basis | None:
    return next((basis for basis in load_bases(meta.bases) if basis.number == state.basis), None)


async def _definitions(
    client: Client, settings: Settings, number: int
) -> tuple[Definitions | None, dict[str, tuple[int, int]]]:
    """Return a version's definitions, and from which version on each of their features has been counted."""
    log = RedisDefinitions(client, settings.redis_prefix)
    try:
        versions = await log.load()
    finally:
        await log.close()
    return look_back(versions, number) if 0 < number <= len(versions) else (None, {})


def look_back(
    versions: Sequence[DefinitionsVersion], number: int
) -> tuple[Definitions, dict[str, tuple[int, int]]]:
    """Return a version's definitions, and from which version on, and since when, each of their features has been counted.

    A feature that has been since the first version is left out. No further back than this program reads.

    Parameters
    ----------
    versions : sequence of DefinitionsVersion
        From the first on.
    number : int
        Of one of them.

    Raises
    ------
    DefinitionError
        This program does not read the version itself.
    """
    read = [_read(versions[number - 1])]
    since = {
        name: (number - back, versions[number - back - 1].effective_at)
        for name, back in counted_since(chain(read, _earlier(versions[: number - 1]))).items()
        if back < number - 1
    }
    return read[0], since


def _earlier(versions: Sequence[DefinitionsVersion]) -> Iterator[Definitions]:
    """Yield the definitions of versions, latest first, up to one that another version of segstream has taken."""
    for version in reversed(versions):
        try:
            yield _read(version)
        except DefinitionError:
            return


def _read(version: DefinitionsVersion) -> Definitions:
    return read_definitions(version.text, f"definitions version {version.version}")


def _state(user: User, basis: Basis | None) -> dict[str, Any]:
    held = {
        name: {"since": format_time(since), "expires_at": _time(until)}
        for name, (since, until) in user.held.items()
    }
    held |= {
        f"{model}.{cluster}": {"since": format_time(since), "expires_at": None}
        for model, (cluster, since) in user.assigned.items()
    }
    return {
        "incarnation": user.incarnation,
        "sequence": user.sequence,
        "decided_at": _time(user.decided_at),
        "next_due": _time(user.due),
        "basis": None
        if basis is None
        else {
            "number": basis.number,
            "in_force_since": format_time(basis.at),
            "definitions_version": basis.definitions,
            "model_version": basis.models,
        },
        "segments": dict(sorted(held.items())),
        "recent_messages": len(user.recent) // DIGEST,
    }


def _time(at: int) -> str | None:
    return None if at >= NEVER else format_time(at)
