"""The one error of the condition language."""

from __future__ import annotations


class ExpressionError(Exception):
    """A condition cannot be read, typed or waited for.

    Parameters
    ----------
    message : str
        What is wrong and what to write instead.
    offset : int
        Where in the condition's text, counted in characters from 0.
    name : str
        The unknown name, if that is what is wrong.

    Examples
    --------
    >>> error = ExpressionError("unknown name 'orderz'; did you mean 'orders'?", 4)
    >>> error.offset, str(error)
    (4, "unknown name 'orderz'; did you mean 'orders'?")
    """

    def __init__(self, message: str, offset: int = 0, name: str = "") -> None:
        self.message, self.offset, self.name = message, offset, name
        super().__init__(message)
