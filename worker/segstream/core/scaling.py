"""How a value becomes a number that clusters can be made of.

Money and counts are heavy-tailed: one user with 200 orders would pull a centre to himself and leave
everybody else in one crowd. So a value is first bent by a transform, then standardised.

========== =============================== ==========================
transform  formula                         meant for
========== =============================== ==========================
log        sign(v) * log1p(abs(v))         counts, money
log_days   the same of v / 86 400 000      durations in milliseconds
linear     v                               times, booleans
========== =============================== ==========================

A duration needs its own: in milliseconds, log1p puts 0 at 0 and one day at 18, and then hardly moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from segstream.core.time import DAY

LIMIT: Final = 1e15
"""Numbers are cut off here, so that squares and sums of them stay finite (1e15 cents are ten trillion)."""


def log(value: float) -> float:
    """Return sign(value) * log1p(abs(value)).

    Examples
    --------
    >>> log(0.0), round(log(99), 3), round(log(-99), 3)
    (0.0, 4.605, -4.605)
    """
    return math.log1p(value) if value >= 0 else -math.log1p(-value)


def unlog(value: float) -> float:
    """Return the number whose `log` this is.

    Examples
    --------
    >>> round(unlog(log(-99)), 9)
    -99.0
    """
    return math.expm1(value) if value >= 0 else -math.expm1(-value)


def _linear(value: float) -> float:
    return float(value)


def _log_days(value: float) -> float:
    return log(value / DAY)


def _unlog_days(value: float) -> float:
    return unlog(value) * DAY


TRANSFORMS: Final[dict[str, Callable[[float], float]]] = {
    "log": log,
    "log_days": _log_days,
    "linear": _linear,
}
INVERSES: Final[dict[str, Callable[[float], float]]] = {
    "log": unlog,
    "log_days": _unlog_days,
    "linear": _linear,
}


def bend(value: float | None, transform: Callable[[float], float]) -> float | None:
    """Apply a transform; what is unknown, not finite or not a number gives None.

    Parameters
    ----------
    value : float or None
        As a feature holds it: units of the feature, durations in milliseconds.
    transform : callable
        One of `TRANSFORMS`.

    Returns
    -------
    float or None
        Finite, at most `LIMIT` away from 0.

    Examples
    --------
    >>> bend(None, log), bend(float("nan"), log), bend(10**400, TRANSFORMS["linear"])
    (None, None, 1000000000000000.0)
    """
    if not isinstance(value, (int, float)) or value != value:  # noqa: PLR0124 -- the quickest test for NaN
        return None
    if value in (math.inf, -math.inf):
        return None
    return transform(max(-LIMIT, min(LIMIT, value)))
