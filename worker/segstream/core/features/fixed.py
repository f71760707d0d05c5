"""Numbers that add up without drift: integers of 10^-6.

The rule: a whole number is scaled exactly; any other is multiplied by 1,000,000 in double precision and the
product rounded to the nearest integer, halves to even. So every amount with up to six decimals and below 10^9
is what its decimal text says, and what leaves a sum is exactly what it brought.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from segstream.core.types import Value

PER_UNIT: Final = 1_000_000
"""Fixed-point steps in one."""

LARGEST: Final = (1 << 63) - 1
"""The largest integer msgpack keeps with either sign."""

Wide: TypeAlias = int | str
"""An integer of any size as a state keeps it: text when it is beyond what msgpack can hold."""


def number(value: Value) -> int | float | None:
    """Return the value if it is a usable number, else ``None``.

    Booleans are not numbers; neither are NaN, the infinities and what lies beyond +-(2^63 - 1), which no
    state could keep exactly. Nought of either sign is 0.

    Examples
    --------
    >>> number(12.5), number(True), number("12"), number(float("nan")), number(1e300)
    (12.5, None, None, None, None)
    """
    kind = type(value)
    if (kind is float or kind is int) and -LARGEST <= value <= LARGEST:  # type: ignore[operator]  # a number here
        return value or 0  # type: ignore[return-value]  # a number here
    return None


def amount(value: Value) -> int | None:
    """Return the number told as an integer of 10^-6, ``None`` if it is not a usable one; see `number`, `scaled`.

    Examples
    --------
    >>> amount(19.99), amount("19.99")
    (19990000, None)
    """
    kind = type(value)
    if (kind is float or kind is int) and -LARGEST <= value <= LARGEST:  # type: ignore[operator]  # a number here
        return round(value * PER_UNIT)  # type: ignore[operator,arg-type]  # a number here
    return None


def scaled(value: float) -> int:
    """Return a number as an integer of 10^-6.

    Parameters
    ----------
    value : float
        A finite number, as `number` lets through.

    Examples
    --------
    >>> scaled(19.99), scaled(3), scaled(-0.0000005)
    (19990000, 3000000, 0)
    """
    return round(value * PER_UNIT)


def whole(amount: Wide) -> int:
    """Return a kept integer as an integer.

    Examples
    --------
    >>> whole("9223372036854775808") == whole(9223372036854775807) + 1
    True
    """
    return amount if type(amount) is int else int(amount)


def kept(amount: int) -> Wide:
    """Return an integer as a state can keep it.

    Examples
    --------
    >>> kept(7), kept(1 << 63)
    (7, '9223372036854775808')
    """
    return amount if -LARGEST <= amount <= LARGEST else str(amount)


def plus(a: Wide, b: Wide) -> Wide:
    """Add two kept integers.

    Examples
    --------
    >>> plus(1, 2), plus(9223372036854775807, 1), plus("9223372036854775808", -1)
    (3, '9223372036854775808', 9223372036854775807)
    """
    # Nearly always both are integers, and this is on the way of every event.
    total = a + b if type(a) is int is type(b) else int(a) + int(b)
    return total if -LARGEST <= total <= LARGEST else str(total)
