"""The real purchases through a worker, against a plain recount of the file."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from segstream.demo.purchases import END, load_purchases, read_purchases
from tests.checker import check_everywhere, stories
from tests.deployments import Deployments
from tests.workers import Scene, Worker, applied, ends, read_all, send

DEFINITIONS = """
version: 1
features:
  orders:       {op: count, event: Order Completed}
  items:        {op: sum, of: properties.quantity, event: Order Completed}
  basket:       {op: mean, of: properties.revenue, event: Order Completed}
  largest:      {op: max, of: properties.revenue, event: Order Completed}
  revenue_365d: {op: sum, of: properties.revenue, event: Order Completed, window: 365d, expose: true}
  orders_90d:   {op: count, event: Order Completed, window: 90d}
  first_order:  {op: first_time, event: Order Completed}
  last_order:   {op: last_time, event: Order Completed}
segments:
  high_value:  {when: revenue_365d >= 500 and orders >= 3, leave_when: revenue_365d < 400}
  loyal:       {when: orders >= 5 and since(first_order) >= 180d and since(last_order) <= 90d}
  big_baskets: {when: basket >= 75 and items >= 4}
  splurged:    {when: largest >= 200}
  frequent:    {when: orders_90d >= 3}
  first_time:  {when: orders == 1 and since(last_order) <= 60d}
  active:      {when: orders >= 2 and since(last_order) <= 60d}
  at_risk:     {when: orders >= 2 and since(last_order) > 60d and since(last_order) <= 180d}
  lapsed:      {when: since(last_order) > 60d}
groups:
  lifecycle: {first_of: [first_time, active, at_risk, lapsed]}
"""
LAST_DAY = date(1998, 6, 30)
Order = tuple[date, int, int]
"""Day, cents, CDs."""


async def test_a_replay_of_all_purchases_equals_a_recount_of_the_file(deployments: Deployments) -> None:
    """Every rule segment has exactly the members that a plain recount finds, wherever one looks for them."""
    (events,) = await deployments.inputs("events", partitions=4)
    scene = await deployments.scene("shop", [events], 4)
    definitions = deployments.file("shop.yaml", DEFINITIONS)
    await send(scene, [(entry.key, entry.value) for entry in load_purchases()], clock=END)
    with Worker(scene.environment(definitions, clock="event")) as worker:
        await applied(scene, [worker], 120)
        assert worker.stop() == 0
    members = await check_everywhere(scene, await stories(scene))
    assert members == recount()
    assert not any(await read_all(scene, scene.topic("dead_letters")))
    assert await acknowledged(scene) == await ends(
        scene, [events, scene.topic("rerouted")]
    )  # so lag monitors see that all is done


async def acknowledged(scene: Scene) -> dict[TopicPartition, int]:
    """Return the group's committed offsets."""
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(f"{scene.prefix}group")
        return {there: offset.offset for there, offset in found.items()}
    finally:
        await admin.close()


def recount() -> dict[str, set[str]]:
    """Return the members of each segment on the last day at midnight, from the file alone."""
    history: defaultdict[str, list[Order]] = defaultdict(list)
    for line in read_purchases():
        day = date(int(line.day[:4]), int(line.day[4:6]), int(line.day[6:]))
        history[line.customer].append((day, round(line.revenue * 100), line.quantity))
    members: defaultdict[str, set[str]] = defaultdict(set)
    for customer, orders in history.items():
        for segment in segments(sorted(orders)):
            members[segment].add(customer)
    return dict(members)


def segments(orders: list[Order]) -> list[str]:
    """Return the segments of a customer with these orders, oldest first."""
    days, cents, items = zip(*orders, strict=True)
    silence, count = (LAST_DAY - days[-1]).days, len(orders)
    found = ["high_value"] if high_value(orders) else []
    if count >= 5 and (LAST_DAY - days[0]).days >= 180 and silence <= 90:
        found.append("loyal")
    if sum(cents) >= 7500 * count and sum(items) >= 4:
        found.append("big_baskets")
    if max(cents) >= 20000:
        found.append("splurged")
    # Of the 90 days' window the resolution is six hours: an order at midnight counts until six on its last day.
    if sum((LAST_DAY - day).days <= 90 for day in days) >= 3:
        found.append("frequent")
    if silence <= 60:
        found.append("first_time" if count == 1 else "active")
    else:
        found.append("at_risk" if count >= 2 and silence <= 180 else "lapsed")
    return found


def high_value(orders: list[Order]) -> bool:
    """Tell whether somebody is of high value on the last day, by going through all days: the way in is not the way out."""
    if sum(cents for _, cents, _ in orders) < 50000:
        return False
    held, day = False, orders[0][0]
    while day <= LAST_DAY:
        # Order by order, as they come; at one instant orders count first, so time is told on days without any only.
        for seen in _one_by_one(orders, day) or [tuple(order for order in orders if order[0] < day)]:
            # Of the 365 days' window the resolution is a day: an order counts until the end of its day, 365 days on.
            year = sum(cents for when, cents, _ in seen if (day - when).days <= 365)
            held = year >= 40000 if held else year >= 50000 and len(seen) >= 3
        day += timedelta(days=1)
    return held


def _one_by_one(orders: list[Order], day: date) -> list[tuple[Order, ...]]:
    """Return the orders up to each order of a day."""
    return [tuple(orders[: place + 1]) for place, order in enumerate(orders) if order[0] == day]
