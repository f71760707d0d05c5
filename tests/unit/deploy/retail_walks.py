"""Ways through the segments of an online shop."""

from __future__ import annotations

from typing import Any, Final

from segstream.core.time import DAY, HOUR, MINUTE, format_time
from tests.unit.deploy.walks import Document, Walk, at, entered, exited, gone
from tests.unit.flow.worlds import track


def buy(day: float, revenue: float = 50.0, order: str = "", coupon: str | None = None) -> Document:
    """Return an order."""
    more = {} if coupon is None else {"coupon": coupon}
    return track(
        "u", "Order Completed", at(day), order_id=order or f"o{day}", revenue=revenue, total=revenue, **more
    )


def refund(day: float, total: float, order: str) -> Document:
    """Return money paid back."""
    return track("u", "Order Refunded", at(day), order_id=order, total=total)


def view(day: float, times: int = 1, *, mobile: bool = True) -> list[Document]:
    """Return looks at a product, one a minute, on a phone's browser or on a computer's."""
    context = {"userAgentData": {"mobile": mobile}}
    return [
        {**track("u", "Product Viewed", at(day, minute * MINUTE), product_id="p1"), "context": context}
        for minute in range(times)
    ]


def shipping(day: float, checkout: str, step: int = 2) -> Document:
    """Return a step of a checkout; at the second the shipping cost is shown."""
    return track("u", "Checkout Step Viewed", at(day), checkout_id=checkout, step=step)


def tell(day: float, **traits: Any) -> Document:
    """Return what is told of the user."""
    return {"type": "identify", "userId": "u", "timestamp": format_time(at(day)), "traits": traits}


def lives(country: str) -> Document:
    """Return the trait that says where somebody lives."""
    return {"address": {"country": country}}


COMING_OF_AGE: Final = format_time(at(20) - 6575 * DAY)
"""Birthday of somebody who is 18 on day 20."""

TURNING_25: Final = format_time(at(50) - 9131 * DAY)
"""Birthday of somebody who is 25 on day 50."""

LIFECYCLE: Final = ("first_time_buyer", "active", "at_risk", "lapsed", "lead")


def young(country: str, place: str, income: int, band: str) -> list[Walk]:
    """Return the ways in and out by birthdays, of one country and income."""
    segments = ("young_mobile", f"young_mobile_{place}", f"young_mobile_{band}_income")
    told = tell(0, birthday=COMING_OF_AGE, income=income, **lives(country))
    older = tell(0, birthday=TURNING_25, income=income, **lives(country))
    desk = view(30, 6, mobile=False)
    return [
        Walk(
            f"turns 18 in {country}, then sits at a desk",
            [told, *view(1, 5), *desk],
            [
                *(entered(each, at(20), "timer") for each in segments),
                # Five of eleven looks on a phone are less than half.
                *(exited(each, at(30, 5 * MINUTE)) for each in segments),
            ],
        ),
        Walk(
            f"turns 25 in {country}",
            [older, *view(1, 5)],
            [
                *(entered(each, at(1, 4 * MINUTE)) for each in segments),
                *(exited(each, at(50), "timer") for each in segments),
            ],
        ),
    ]


RETAIL: Final = [
    Walk(
        "buys, comes back, falls silent, comes back, is lost, comes back",
        [buy(0), buy(10), buy(100), buy(300)],
        [
            entered("first_time_buyer", at(0)),
            exited("first_time_buyer", at(10)),
            entered("active", at(10)),
            exited("active", at(70, 1), "timer"),
            entered("at_risk", at(70, 1), "timer"),
            exited("at_risk", at(100)),
            entered("active", at(100)),
            exited("active", at(160, 1), "timer"),
            entered("at_risk", at(160, 1), "timer"),
            exited("at_risk", at(280, 1), "timer"),
            entered("lapsed", at(280, 1), "timer"),
            exited("lapsed", at(300)),
            entered("active", at(300)),
            exited("active", at(360, 1), "timer"),
            entered("at_risk", at(360, 1), "timer"),
        ],
        of=LIFECYCLE,
        until=400,
    ),
    Walk(
        "buys once",
        [buy(0)],
        [
            entered("first_time_buyer", at(0)),
            exited("first_time_buyer", at(60, 1), "timer"),
            entered("lapsed", at(60, 1), "timer"),
        ],
        of=LIFECYCLE,
    ),
    Walk(
        "browses and loses interest",
        view(0, 5),
        [
            entered("lead", at(0, 4 * MINUTE)),
            exited("lead", gone(0, 30, HOUR), "timer"),
        ],
        of=LIFECYCLE,
    ),
    Walk(
        "browses and buys",
        [*view(0, 5), buy(1)],
        [
            entered("lead", at(0, 4 * MINUTE)),
            exited("lead", at(1)),
            entered("first_time_buyer", at(1)),
        ],
        of=LIFECYCLE,
        until=30,
    ),
    Walk(
        "spends much, sends much back, spends much again",
        [
            *(buy(0, 200), buy(5, 200), buy(10, 200, "big"), refund(12, 250, "big")),
            *(buy(20, 300, "bigger"), refund(30, 300, "bigger")),
        ],
        [
            entered("high_value", at(10)),
            # Below 400 from day 12 on, but nobody leaves within 7 days.
            exited("high_value", at(17), "timer"),
            entered("high_value", at(20)),
            exited("high_value", at(30)),
        ],
    ),
    Walk(
        "spent much once",
        [buy(0, 200), buy(5, 200), buy(10, 200)],
        [entered("high_value", at(10)), exited("high_value", gone(5, 365), "timer")],
    ),
    Walk(
        "keeps buying",
        [buy(0), buy(60), buy(120), buy(170), buy(300)],
        [
            entered("loyal", at(180), "timer"),
            exited("loyal", at(290, 1), "timer"),
            entered("loyal", at(300)),
            exited("loyal", at(420, 1), "timer"),
        ],
    ),
    Walk(
        "buys much at a time, then little",
        [buy(0, 150), buy(1, 130), buy(2, 20), buy(3, 20)],
        # On day 2 the average is 100: not below.
        [entered("big_basket", at(1)), exited("big_basket", at(3))],
    ),
    Walk(
        "bought much at a time",
        [buy(0, 150), buy(1, 130)],
        [entered("big_basket", at(1)), exited("big_basket", gone(1, 365), "timer")],
    ),
    Walk(
        "stops at the shipping cost twice, then orders twice",
        [shipping(0, "c1"), shipping(0.1, "c1"), shipping(1, "c2"), shipping(1, "c3", 1), buy(20), buy(21)],
        [
            entered("shipping_averse", at(2), "timer"),
            entered("price_conscious", at(2), "timer"),
            exited("shipping_averse", at(21)),
            exited("price_conscious", at(21)),
        ],
    ),
    Walk(
        "stops at the shipping cost twice, and stays away",
        [shipping(0, "c1"), shipping(1, "c2")],
        [
            entered("shipping_averse", at(2), "timer"),
            entered("price_conscious", at(2), "timer"),
            exited("shipping_averse", gone(1, 90), "timer"),
            exited("price_conscious", gone(1, 90), "timer"),
        ],
    ),
    Walk(
        "thinks it over for half a day and orders",
        [shipping(0, "c1"), shipping(1, "c2"), buy(1.5)],
        [],
        of=("shipping_averse", "price_conscious"),
    ),
    Walk(
        "orders with coupons, then without",
        [buy(0, coupon="TEN"), buy(1, coupon="TEN"), buy(2, coupon="")],
        [
            entered("coupon_only", at(1)),
            entered("price_conscious", at(1)),
            exited("coupon_only", at(2)),
            exited("price_conscious", at(2)),
        ],
    ),
    Walk(
        "ordered with coupons",
        [buy(0, coupon="TEN"), buy(1, coupon="TEN")],
        [
            entered("coupon_only", at(1)),
            entered("price_conscious", at(1)),
            exited("coupon_only", gone(1, 365), "timer"),
            exited("price_conscious", gone(1, 365), "timer"),
        ],
    ),
    Walk(
        "sends much back, then keeps what comes",
        [
            *(buy(0, order="a"), buy(1, order="b"), buy(2), refund(5, 10, "a"), refund(5.5, 10, "a")),
            *(refund(6, 50, "b"), *(buy(day) for day in range(20, 26))),
        ],
        # Two of three orders; then two of nine.
        [entered("returner", at(6)), exited("returner", at(25))],
    ),
    Walk(
        "sent much back",
        [buy(0, order="a"), buy(1, order="b"), buy(2), refund(5, 50, "a"), refund(6, 50, "b")],
        [entered("returner", at(6)), exited("returner", gone(6, 365), "timer")],
    ),
    *young("CH", "dach", 50_000, "upper"),
    *young("NO", "nordics", 30_000, "middle"),
    *young("FR", "elsewhere", 10_000, "lower"),
    Walk(
        "is young, moves twice and earns less",
        [
            *(tell(0, age=20, income=50_000, **lives("DE")), *view(1, 5)),
            *(tell(2, **lives("SE")), tell(3, income=30_000), tell(4, **lives("FR")), tell(5, income=10_000)),
            tell(6, age=25),
        ],
        [
            entered("young_mobile", at(1, 4 * MINUTE)),
            entered("young_mobile_dach", at(1, 4 * MINUTE)),
            entered("young_mobile_upper_income", at(1, 4 * MINUTE)),
            exited("young_mobile_dach", at(2)),
            entered("young_mobile_nordics", at(2)),
            exited("young_mobile_upper_income", at(3)),
            entered("young_mobile_middle_income", at(3)),
            exited("young_mobile_nordics", at(4)),
            entered("young_mobile_elsewhere", at(4)),
            exited("young_mobile_middle_income", at(5)),
            entered("young_mobile_lower_income", at(5)),
            exited("young_mobile", at(6)),
            exited("young_mobile_elsewhere", at(6)),
            exited("young_mobile_lower_income", at(6)),
        ],
    ),
]
