"""Every error segstream raises on purpose.

::

    SegstreamError                what went wrong, where, and what to do, in one line
    ├── UsageError                the command was called with something it does not take
    ├── SettingsError             a setting has a value it may not have
    ├── DefinitionError           the definitions file has a mistake, at a line and column
    ├── ServerError               Kafka or Redis cannot be reached or refuses; retried while running
    │   └── LocalServerError      a server that we should start ourselves cannot be found or does not start
    ├── Fenced                    another worker owns the partition now; this one must stop touching it
    ├── StateLost                 Redis does not hold the state this worker last committed
    ├── PositionError             the stored position and the log do not fit together
    ├── NewerState                a state was written by a later version of segstream than this one
    └── LayoutError               topics are missing or not co-partitioned
"""

from __future__ import annotations

from typing import Final
from unicodedata import category

_EXCERPT: Final = 300
"""Characters of a faulty line to show: wider than terminals are, and than definitions are written."""

_UNSHOWN: Final = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's names of control characters, half characters, and what ends lines and paragraphs."""


class SegstreamError(Exception):
    """Base of all errors raised on purpose; its text is meant for a person.

    ``str(error)`` is one line that says what happened, where, and what to do.
    """


class UsageError(SegstreamError):
    """A command got an argument it cannot use. Correct the call; ``--help`` has an example."""


class SettingsError(SegstreamError):
    """A setting is missing or has a value it may not have. Correct it; ``segstream settings`` lists all."""


class DefinitionError(SegstreamError):
    """The definitions have a mistake. Correct the file at the place named.

    Parameters
    ----------
    message : str
        What is wrong and, if one is near, the valid name.
    file : str
        The name of the file as the user gave it.
    line, column : int
        Position, both counted from 1; 0 when the file as a whole is meant.
    source : str
        The line of the file, shown with a caret under ``column``.

    Examples
    --------
    >>> error = DefinitionError("unknown feature 'orderz'; did you mean 'orders'?", "shop.yaml", 7, 24)
    >>> str(error)
    "shop.yaml:7:24: unknown feature 'orderz'; did you mean 'orders'?"
    """

    def __init__(
        self, message: str, file: str = "<definitions>", line: int = 0, column: int = 0, source: str = ""
    ) -> None:
        self.message, self.file, self.line, self.column, self.source = message, file, line, column, source
        place = f"{file}:{line}:{column}" if line else file
        super().__init__(f"{place}: {message}")

    def excerpt(self) -> str:
        """Return the faulty line with a caret under the place, or an empty string.

        Of a line that is very long the part around the place; control characters are replaced, so that nothing steers
        a terminal and the caret stands right.

        Examples
        --------
        >>> print(DefinitionError("unknown", "f", 1, 3, "a: b").excerpt())
        a: b
          ^
        """
        if not self.source:
            return ""
        begin = 0 if len(self.source) <= _EXCERPT else max(0, self.column - 1 - _EXCERPT // 2)
        shown = "".join(
            each if category(each) not in _UNSHOWN else " " if each == "\t" else "\ufffd"
            for each in self.source[begin : begin + _EXCERPT]
        )
        return f"{shown}\n{' ' * (self.column - 1 - begin)}^"


class ServerError(SegstreamError):
    """Kafka or Redis cannot be reached or refuses. While running it is retried with backoff; check the server."""


class LocalServerError(ServerError):
    """A server of our own cannot be found or does not start. Install what the message names, or read its output."""


class Fenced(SegstreamError):
    """Another worker has taken the partition over. Nothing to do: this worker stops writing to it and rejoins."""


class StateLost(SegstreamError):
    """Redis lost its tail, or the reply to a commit was lost. Nothing to do: the partition starts over from Redis."""


class PositionError(SegstreamError):
    """The position in Redis and the log in Kafka do not fit. The text names the ``segstream reset`` that resolves it."""


class NewerState(SegstreamError):
    """A user's state was written by a later version of segstream. Go on with that one, or reset the partition.

    Parameters
    ----------
    user : str
        Whose it is; not in the text, which is logged.
    schema, known : int
        The state's schema number, and the latest that this program reads.

    Attributes
    ----------
    partition : int or None
        The partition number, where it is known.

    Examples
    --------
    >>> error = NewerState("00042", 4, 3)
    >>> error.partition = 7
    >>> print(error)
    partition 7: a user's state has schema 4, and this version of segstream reads up to 3: a later one has worked here. Go on with that one, or begin anew with `segstream reset --to earliest`
    """

    def __init__(self, user: str, schema: int, known: int) -> None:
        self.user, self.schema, self.known = user, schema, known
        self.partition: int | None = None
        super().__init__(user, schema, known)

    def __str__(self) -> str:
        """Say so in one line."""
        where = "" if self.partition is None else f"partition {self.partition}: "
        return (
            f"{where}a user's state has schema {self.schema}, and this version of segstream reads up to {self.known}: a "
            "later one has worked here. Go on with that one, or begin anew with `segstream reset --to earliest`"
        )


class LayoutError(SegstreamError):
    """Topics are missing, or have another number of partitions than expected. ``segstream topics`` creates them."""
