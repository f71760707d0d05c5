"""What every accumulator can do."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from segstream.core.time import NEVER
from segstream.core.types import Motion, State, Value, ValueKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""Comparisons that a value may cross as it moves."""

MOST_STEPS: Final = 512
"""Buckets of one window that are looked through at once. A wake-up in between costs less than a long look at
every event; by default a window has fewer buckets than this up to a factor of eight."""


class Accumulator(ABC):
    """A feature's pure operations on one user's state; see the package for what they promise.

    The defaults here are those of a value that only events change (`Motion.STATIC`).
    """

    __slots__ = ()

    motion: Motion = Motion.STATIC
    quick: bool = False
    """Whether `crosses` is quick: it goes from step to step for no more than `MOST_STEPS`, then says to ask again."""

    kind: ValueKind = ValueKind.NUMBER

    @abstractmethod
    def zero(self) -> State:
        """Return the state of a user without events."""

    @abstractmethod
    def add(self, state: State, at: int, value: Value, tie: str) -> State:
        """Return the state with one more event.

        Parameters
        ----------
        state : State
            The state before; it is not changed.
        at : int
            The event's timestamp in ms.
        value : Value
            What the event holds at the feature's ``of`` path. An event whose value is missing or of the
            wrong kind is ignored: the same state comes back.
        tie : str
            The message id; it decides between events of the same moment.
        """

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """Return the state of both streams of events together."""

    @abstractmethod
    def value(self, state: State, at: int) -> Value:
        """Return the value at a moment.

        Parameters
        ----------
        state : State
            The user's state.
        at : int
            Milliseconds; not before any event in the state.
        """

    def steps(self, state: State, at: int) -> Iterator[tuple[int, Value]]:
        """Yield ``(moment, value from then on)`` for each change after ``at`` if no event comes, in order."""
        return iter(())

    def next_change(self, state: State, at: int) -> int:
        """Return the first moment of `steps`, or `NEVER`. A decaying value has none: see `crosses`."""
        for moment, _ in self.steps(state, at):
            return moment
        return NEVER

    def crosses(self, state: State, op: str, bound: float, at: int) -> int:
        """Return when ``value op bound`` turns if no event comes.

        Parameters
        ----------
        state : State
            The user's state.
        op : str
            One of ``<``, ``<=``, ``>``, ``>=``.
        bound : float
            The constant on the right side.
        at : int
            Milliseconds.

        Returns
        -------
        int
            The first moment after ``at``, exact to the millisecond, at which the comparison has another truth
            than at ``at``; `NEVER` if there is none. Of an unknown value the truth is unknown, a third one.
            Where it is `quick` and there are many steps, it may be an earlier moment, at which to ask again.

        Raises
        ------
        ValueError
            If ``op`` is another comparison: a moving value equals a constant for no more than a moment.
        """
        holds = comparison(op)
        now = self.value(state, at)
        for moment, value in self.steps(state, at):
            if now is None or value is None:
                if now is not value:
                    return moment
            elif holds(value, bound) != holds(now, bound):  # type: ignore[arg-type]  # what has steps is a number
                return moment
        return NEVER

    def compact(self, state: State, at: int) -> State:
        """Drop what cannot count from ``at`` on; the same object comes back when there is nothing to drop."""
        return state


def comparison(op: str) -> Callable[[float, float], bool]:
    """Return the function of a comparison sign.

    Raises
    ------
    ValueError
        If it is not one a value can cross.

    Examples
    --------
    >>> comparison(">=")(3, 3)
    True
    >>> comparison("==")
    Traceback (most recent call last):
        ...
    ValueError: a moving value cannot be compared by '=='; use one of <, <=, >, >=
    """
    try:
        return COMPARISONS[op]
    except KeyError:
        message = f"a moving value cannot be compared by {op!r}; use one of {', '.join(COMPARISONS)}"
        raise ValueError(message) from None
