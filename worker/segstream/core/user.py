"""A user's state: the features told so far, the segments held, and when the answer may change next.

A state is one msgpack value in Redis that opens with its schema number, so that a later version can still read it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgpack

from segstream.core.time import NEVER
from segstream.errors import NewerState

if TYPE_CHECKING:
    from segstream.core.types import State

SCHEMA: Final = 3
"""What is written. 1 and 2, still read, did not hold which decision is due; 1 had no place for anti-flap either."""

UNKNOWN: Final = -1
NOBODY: Final = -2
"""In place of the choice that a user is due for."""

RECENT_IDS: Final = 32
"""How many message ids of a user are remembered: a repeat within the user's last 32 events is dropped."""

DIGEST: Final = 8
"""Bytes of a digest."""

_OLDEST: Final = 9
"""Fields of a state of schema 1 after the schema's number."""

_UNDAMPED: Final = 10
"""Fields where anti-flap has nothing to remember."""

_REMEMBERED: Final = DIGEST * (RECENT_IDS - 1)


class User:
    """One user's state.

    The attributes are replaced, never changed in place, so that what was read before an event stays as it was.

    Parameters
    ----------
    name : str
        The user's id.
    features : tuple of State
        States of the accumulators, in the order of the definitions' features.
    basis : int
        Number of the basis that the last decision rests on.
    incarnation : int
        The partition's incarnation that ``sequence`` counts in.

    Attributes
    ----------
    sequence : int
        Number of the user's last change, 0 before the first.
    decided_at : int
        Moment of the last decision in ms; a later decision is never before it.
    due : int
        When the answer may change next without an event, in ms; ``NEVER`` if it cannot.
    due_for : int
        Which of the basis' choices that moment is for, by place; ``UNKNOWN`` where that is not known, ``NOBODY`` where
        no choice is.
    held : dict of str to (int, int)
        Rule segments held: since when, and when each ends if nothing happens (``NEVER`` when unknown or never).
    assigned : dict of str to (str, int)
        Discovered segments held: the cluster per model, and since when.
    recent : bytes
        Digests of the last message ids, oldest first, each of 8 bytes.
    confirming : dict of str to int
        Segments not held that have a ``confirm_for``: since when their condition has been true without a break.
    left : dict of str to int
        Segments that are cooling down: when they were left.
    resisted : tuple of str
        Segments held that would have been left at the last decision but for their ``min_dwell``, and segments not
        held and without a ``confirm_for`` that would have been entered but for their ``cooldown``.

    Examples
    --------
    >>> user = User("00042", (0, None), basis=1, incarnation=1)
    >>> user.held = {"active": (865987200001, NEVER)}
    >>> User.decode("00042", user.encode()).held == user.held
    True
    """

    __slots__ = (
        "assigned", "basis", "confirming", "decided_at", "due", "due_for", "features", "held", "incarnation", "left",
        "name", "recent", "resisted", "sequence",
    )  # fmt: skip

    def __init__(self, name: str, features: tuple[State, ...], basis: int, incarnation: int) -> None:
        self.name = name
        self.features = features
        self.basis = basis
        self.incarnation = incarnation
        self.sequence = 0
        self.decided_at = 0
        self.due = NEVER
        self.due_for = UNKNOWN
        self.held: dict[str, tuple[int, int]] = {}
        self.assigned: dict[str, tuple[str, int]] = {}
        self.recent = b""
        self.confirming: dict[str, int] = {}
        self.left: dict[str, int] = {}
        self.resisted: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Return the state as msgpack."""
        fields: tuple[object, ...] = (
            SCHEMA, self.incarnation, self.sequence, self.basis, self.decided_at, self.due,
            self.features, self.held, self.assigned, self.recent, self.due_for,
        )  # fmt: skip
        if self.confirming or self.left or self.resisted:
            fields = (*fields, (self.confirming, self.left, self.resisted))
        packed: bytes = _pack(fields)
        return packed

    @classmethod
    def decode(cls, name: str, data: bytes) -> User:
        """Read a state written by ``encode``.

        Raises
        ------
        NewerState
            If it was written by a later version of the program.
        """
        schema, *fields = msgpack.unpackb(data, strict_map_key=False, use_list=False)
        user = cls.__new__(cls)
        user.name = name
        if schema < SCHEMA:
            fields.insert(_OLDEST, UNKNOWN)
        elif schema > SCHEMA:
            raise NewerState(name, schema, SCHEMA)
        user.confirming, user.left, user.resisted = fields.pop() if len(fields) > _UNDAMPED else ({}, {}, ())
        (
            user.incarnation, user.sequence, user.basis, user.decided_at, user.due,
            user.features, user.held, user.assigned, user.recent, user.due_for,
        ) = fields  # fmt: skip
        return user

    def remember(self, message: bytes) -> None:
        """Add the digest of a message, forgetting the oldest."""
        self.recent = self.recent[-_REMEMBERED:] + message

    def segments(self) -> list[str]:
        """Return the names of all segments held, sorted; a discovered one is ``<model>.<cluster>``."""
        return sorted([*self.held, *(f"{name}.{cluster}" for name, (cluster, _) in self.assigned.items())])


_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack


def digest(message_id: str) -> bytes:
    """Return 8 bytes that stand for a message id.

    Examples
    --------
    >>> digest("a") == digest("a"), digest("a") == digest("b")
    (True, False)
    """
    return blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest()
