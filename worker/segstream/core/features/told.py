"""What was told first and last; `Last` is also how traits are kept."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final, TypeAlias

from segstream.core.features.base import Accumulator
from segstream.core.features.fixed import number
from segstream.core.time import parse_time
from segstream.core.types import Value, ValueKind

if TYPE_CHECKING:
    from collections.abc import Callable

Told: TypeAlias = tuple[int, str, Value]
"""Timestamp in ms, message id, value: what is needed to say which of two came first."""


LONGEST_TEXT: Final = 1_000
"""Characters of a text that is kept. A change repeats it for each condition that reads it, before and after, and
must fit into a Kafka record; nobody compares with a longer one."""


def _text(value: Value) -> Value:
    return value if type(value) is str and len(value) <= LONGEST_TEXT else None


def _boolean(value: Value) -> Value:
    return value if type(value) is bool else None


def _time(value: Value) -> Value:
    """Read a time from text; a number is none, because nothing says whether it is in s or in ms."""
    if type(value) is not str:
        return None
    try:
        return parse_time(value)
    except ValueError:
        return None


def _anything(value: Value) -> Value:
    return _text(value) if type(value) is str else value if type(value) is bool else number(value)


READERS: Final[dict[ValueKind, Callable[[Value], Value]]] = {
    ValueKind.NUMBER: number,
    ValueKind.TEXT: _text,
    ValueKind.BOOLEAN: _boolean,
    ValueKind.TIME: _time,
    ValueKind.ANY: _anything,
}
"""For each kind that can be told: value -> the value to keep, or ``None`` if it is of another kind."""


def rank(value: Value) -> tuple[str, Value]:
    """Order values of any kind, for the case that one message id told two things at one moment."""
    return type(value).__name__, value


def _later(a: Told, b: Told) -> bool:
    if a[0] != b[0]:
        return a[0] > b[0]
    return (a[1], rank(a[2])) > (b[1], rank(b[2]))


class _OneTold(Accumulator):
    """One of the values told; unknown before the first.

    Parameters
    ----------
    kind : ValueKind
        What is expected; a value of another kind is ignored. `ValueKind.TIME` reads text such as
        ``1997-06-11`` and keeps milliseconds.

    Raises
    ------
    ValueError
        If no value of that kind can be told.
    """

    __slots__ = ("_read", "kind")

    def __init__(self, kind: ValueKind = ValueKind.ANY) -> None:
        if kind not in READERS:
            known = ", ".join(reader.value for reader in READERS)
            message = f"an event cannot tell a {kind.value}; use one of {known}"
            raise ValueError(message)
        self.kind = kind
        self._read = READERS[kind]

    def zero(self) -> None:
        """Return the unknown."""
        return

    def add(self, state: Told | None, at: int, value: Value, tie: str) -> Told | None:
        """Keep the value if it is of the expected kind and its event the one looked for."""
        told = self._read(value)
        return state if told is None else self.merge(state, (at, tie, told))

    @abstractmethod
    def merge(self, a: Told | None, b: Told | None) -> Told | None:
        """Keep the one looked for."""

    def value(self, state: Told | None, at: int) -> Value:
        """Return the value as told."""
        return None if state is None else state[2]


class First(_OneTold):
    """The value told by the earliest event.

    Examples
    --------
    >>> source = First(ValueKind.TEXT)
    >>> state = source.add(source.add(source.zero(), 20, "ad", "m1"), 10, "search", "m2")
    >>> source.value(state, 20)
    'search'
    """

    __slots__ = ()

    def merge(self, a: Told | None, b: Told | None) -> Told | None:
        """Keep the earlier."""
        if a is None or b is None:
            return b if a is None else a
        return b if _later(a, b) else a


class Last(_OneTold):
    """The value told by the latest event.

    Examples
    --------
    >>> age = Last(ValueKind.NUMBER)
    >>> state = age.add(age.add(age.zero(), 20, 41, "m2"), 30, "unsaid", "m3")
    >>> age.value(age.add(state, 10, 40, "m1"), 30)
    41
    """

    __slots__ = ()

    def merge(self, a: Told | None, b: Told | None) -> Told | None:
        """Keep the later."""
        if a is None or b is None:
            return b if a is None else a
        return a if _later(a, b) else b
