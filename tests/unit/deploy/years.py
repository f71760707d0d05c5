"""A year of what people with all kinds of habits do, by chance from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from segstream.core.time import DAY, MINUTE, format_time, parse_time
from tests.unit.deploy.walks import Document
from tests.unit.flow.worlds import START, track


def shopper(user: str, chance: Random) -> Iterator[Document]:
    """Yield what somebody does in a shop, in order: all kinds of habits, some stay for weeks and some for ever."""
    now = START + chance.randrange(120) * DAY
    gone_at = now + chance.choice([30, 120, 400]) * DAY
    pause = chance.choice([2, 5, 10, 25, 60]) * DAY
    buys, mobile, size = chance.choice([0, 0.2, 0.5]), chance.random(), chance.choice([20, 60, 150])
    coupons, returns = chance.choice([0, 0.3, 1]), chance.choice([0, 0, 0.5])
    traits = {
        "birthday": f"{chance.randrange(1985, 2004)}-05-17",
        "income": chance.randrange(10_000, 70_000),
        "address": {"country": chance.choice(["DE", "NO", "FR"])},
    }
    yield {"type": "identify", "userId": user, "timestamp": format_time(now), "traits": traits}
    turn = 0
    while now < gone_at:
        for _ in range(chance.randrange(1, 5)):
            now += chance.randrange(1, 5) * MINUTE
            context = {"userAgentData": {"mobile": chance.random() < mobile}}
            yield {**track(user, "Product Viewed", now), "context": context}
        if chance.random() < 0.5:
            turn, now = turn + 1, now + MINUTE
            yield track(user, "Checkout Step Viewed", now, step=2, checkout_id=f"c{turn}")
            if chance.random() < buys:
                now, total = now + MINUTE, round(size * chance.uniform(0.5, 1.5), 2)
                more = {"coupon": "TEN"} if chance.random() < coupons else {}
                yield track(user, "Order Completed", now, order_id=f"o{turn}", revenue=total, **more)
                if chance.random() < returns:
                    now += 6 * DAY
                    yield track(user, "Order Refunded", now, order_id=f"o{turn}", total=total)
        now += round(chance.expovariate(1 / pause))


def subscriber(user: str, chance: Random) -> Iterator[Document]:
    """Yield what somebody does with software, in order: habits change now and then."""
    now = begun = asked = START + chance.randrange(120) * DAY
    gone_at = now + chance.choice([10, 60, 150, 400]) * DAY
    pauses = [DAY // 3, DAY, 2 * DAY, 7 * DAY, 20 * DAY]
    pause, features, tickets = (
        chance.choice(pauses),
        chance.choice([1, 2, 4, 8, 15]),
        chance.choice([0, 0.02, 0.1]),
    )
    yield track(user, "Signed Up", now)
    yield track(user, "Trial Started", now + 1)
    on_trial = True
    while now < gone_at:
        now += round(chance.expovariate(1 / pause))
        if on_trial and now > begun + 13 * DAY:
            on_trial = False
            plan = {"plan": chance.choice(["starter", "team", "enterprise"])}
            yield {"type": "identify", "userId": user, "timestamp": format_time(now), "traits": plan}
        for _ in range(chance.randrange(1, 4)):
            now += MINUTE
            yield track(user, "Feature Used", now, feature=f"f{chance.randrange(features)}")
        for name, often in (("Ticket Opened", tickets), ("Limit Reached", 0.05), ("Invite Sent", 0.05)):
            if chance.random() < often:
                yield track(user, name, now)
        if now > asked + 60 * DAY:
            asked = now
            yield track(user, "Survey Answered", now, survey="nps", score=chance.randrange(11))
        if chance.random() < 0.03:
            pause = chance.choice(pauses)


PEOPLE: Final = {"retail": shopper, "saas": subscriber}


def a_year(name: str, people: int) -> Sequence[Document]:
    """Return what some people do within a year, in the order it happens."""
    chance = Random(7)
    end = START + 365 * DAY
    happened = [
        (parse_time(document["timestamp"]), number, document)
        for number in range(people)
        for document in PEOPLE[name](f"u{number}", chance)
    ]
    ordered = sorted(happened, key=lambda each: each[:2])
    return [document for moment, _, document in ordered if moment < end]
