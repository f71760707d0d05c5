"""The demo's rule segments, counted from the purchases in plain Python: nothing of segstream's engine is in here.

Purchases are at midnight, and so is the end; only durations in whole days matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from fractions import Fraction
from typing import NamedTuple


class Order(NamedTuple):
    """One purchase.

    Parameters
    ----------
    day : int
        Days since year 1.
    cents : int
        What it cost.
    """

    day: int
    cents: int


def parse(lines: Iterable[str]) -> dict[str, list[Order]]:
    """Return each customer's purchases in the order of their days."""
    found: dict[str, list[Order]] = {}
    for line in lines:
        customer, day, _, dollars = line.split()
        when = date(int(day[:4]), int(day[4:6]), int(day[6:])).toordinal()
        found.setdefault(customer, []).append(Order(when, round(float(dollars) * 100)))
    for orders in found.values():
        orders.sort(key=lambda order: order.day)  # stable: those of one day stay in the file's order
    return found


def sizes(customers: dict[str, list[Order]], end: int) -> dict[str, int]:
    """Return how many customers are in each segment at the end of the replay (a day's number)."""
    count: Counter[str] = Counter()
    for orders in customers.values():
        count.update(segments(orders, end))
    return dict(count)


def segments(orders: list[Order], end: int) -> list[str]:
    """Return the segments of one customer."""
    number, cents = len(orders), sum(order.cents for order in orders)
    silent = end - orders[-1].day
    found = [lifecycle(orders, end)]
    if is_high_value(orders, end):
        found.append("high_value")
    if number >= 5 and end - orders[0].day >= 180 and silent <= 90:
        found.append("loyal")
    if number >= 2 and Fraction(cents, number) >= 7_500:
        found.append("big_baskets")
    return found


def lifecycle(orders: list[Order], end: int) -> str:
    """Return the first of the group that applies."""
    silent = end - orders[-1].day
    before = [order for order in orders if order.day < orders[-1].day]
    # At risk from a millisecond after day 60, for a day at least: who buys on day 61 is active a millisecond later.
    if silent == 0 and len(before) >= 2 and orders[-1].day - before[-1].day == 61:
        return "at_risk"
    if silent > 60:
        return "at_risk" if len(orders) >= 2 and silent <= 180 else "lapsed"
    return "first_time" if len(orders) == 1 else "active"


def is_high_value(orders: list[Order], end: int) -> bool:
    """In from 500 dollars within a year and three orders; out below 400.

    A window of 365 days slides by days: an order counts on its day and 365 more.
    """
    held, days = False, {order.day for order in orders}
    for day in sorted(days | {order.day + 366 for order in orders}):
        if day > end:
            break
        # One order after another: each is decided upon by itself. A day on which one only falls out has one step.
        now = [index for index, order in enumerate(orders) if order.day == day] or [
            sum(order.day < day for order in orders) - 1
        ]
        for last in now:
            spent = sum(order.cents for order in orders[: last + 1] if day - order.day <= 365)
            held = spent >= 40_000 if held else spent >= 50_000 and last >= 2
    return held
